/* kernels: the loops that programs are made of, small enough that a check in
 * each turn would show. Every entry answers with what its kernel returns. */
#include "uniflow.h"

/* hide keeps the compiler from working a loop out in advance. */
static inline uint32_t hide(uint32_t x) {
    __asm__ volatile("" : "+r"(x));
    return x;
}

static int32_t say(uint32_t n) {
    char digits[10];
    uint32_t i = sizeof digits;
    do digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    return uf_output_json("result", (uf_json){digits + i, (uint32_t)sizeof digits - i});
}

#define KERNEL(name, n)                                                \
    static __attribute__((noinline)) uint32_t kernel_##name(uint32_t); \
    UF_ENTRY(name) { return say(kernel_##name(hide(n))); }             \
    static __attribute__((noinline)) uint32_t kernel_##name(uint32_t limit)

static unsigned char bytes[1 << 20];
static uint32_t words[1 << 14];
static double left[1 << 12], right[1 << 12];

KERNEL(sum, 4000000) {
    uint32_t s = 0;
    for (uint32_t i = 0; i < limit; i++) s += hide(i) * i;
    return s;
}

KERNEL(collatz, 40000) {
    uint32_t steps = 0;
    for (uint32_t i = 1; i <= limit; i++)
        for (uint32_t n = i; n > 1; steps++) n = n & 1 ? n * 3 + 1 : n >> 1;
    return steps;
}

static __attribute__((noinline)) uint32_t fib(uint32_t n) { return hide(n) < 2 ? n : fib(n - 1) + fib(n - 2); }

KERNEL(recursion, 30) { return fib(limit); }

KERNEL(sieve, 900000) {
    uint32_t primes = 0;
    for (uint32_t i = 0; i < limit; i++) bytes[i] = 1;
    for (uint32_t i = 2; i < limit; i++) {
        if (!bytes[i]) continue;
        primes++;
        for (uint32_t k = i << 1; k < limit; k += i) bytes[k] = 0;
    }
    return primes;
}

KERNEL(loads, 3000000) {
    uint32_t s = 0;
    for (uint32_t i = 0; i < limit; i++) s += words[hide(i) & 0x3fff] + i;
    return s;
}

KERNEL(copy, 3000000) {
    for (uint32_t i = 0; i < limit; i++) bytes[0x80000 + (hide(i) & 0x7ffff)] = bytes[i & 0x7ffff] + 1;
    return (uint32_t)(bytes[0x80000] - bytes[0]);
}

KERNEL(crc, 400000) {
    uint32_t c = 0;
    for (uint32_t i = 0; i < limit; i++) {
        c ^= i;
        for (uint32_t bit = hide(8); bit; bit--) c = (c >> 1) ^ (c & 1 ? 0xedb88320u : 0);
    }
    return c;
}

KERNEL(product, 2000000) {
    double s = 0;
    for (uint32_t i = 0; i < 1 << 12; i++) left[i] = i, right[i] = 1.0 / (i + 1);
    for (uint32_t i = 0; i < limit; i++) s += left[hide(i) & 0xfff] * right[i & 0xfff];
    return (uint32_t)s;
}

KERNEL(sort, 1500) {
    for (uint32_t i = 0; i < limit; i++) words[i] = i * 7919 % 10007;
    for (uint32_t i = 1; i < limit; i++) {
        uint32_t v = words[i], k = i;
        for (; k > 0 && words[k - 1] > v; k--) words[k] = words[k - 1];
        words[k] = v;
    }
    return words[100];
}

static __attribute__((noinline)) uint32_t times5(uint32_t n) { return hide(n) * 5 + 1; }
static __attribute__((noinline)) uint32_t flip(uint32_t n) { return hide(n) ^ 3; }

KERNEL(calls, 3000000) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < limit; i++) n = times5(n);
    return n;
}

static uint32_t (*const volatile table[2])(uint32_t) = {times5, flip};

KERNEL(indirect, 2000000) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < limit; i++) n = table[i & 1](n);
    return n;
}

KERNEL(branches, 2000000) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < limit; i++) switch (hide(i) & 3) {
        case 0: n += 3; break;
        case 1: n *= 5; break;
        case 2: n ^= 7; break;
        default: n -= i;
        }
    return n;
}
