/* runaway: guests that do not end in any time that matters, each in another
 * way. */
#include "uniflow.h"

#define NOINLINE __attribute__((noinline))

/* hide keeps the compiler from seeing that a piece of work is for nothing. */
static inline uint32_t hide(uint32_t x) {
    __asm__ volatile("" : "+r"(x));
    return x;
}

UF_ENTRY(loop) {
    for (;;) hide(0);
}

static NOINLINE uint32_t fib(uint32_t n) { return hide(n) < 2 ? n : fib(n - 1) + fib(n - 2); }

UF_ENTRY(recursion) { return (int32_t)fib(90); }

/* A chain of 60 functions that each call the next one twice. */
#define NODE(name, next) static NOINLINE uint32_t name(void) { return next() + next(); }
#define TEN(p, last) NODE(p##1, last) NODE(p##2, p##1) NODE(p##3, p##2) NODE(p##4, p##3) NODE(p##5, p##4) \
    NODE(p##6, p##5) NODE(p##7, p##6) NODE(p##8, p##7) NODE(p##9, p##8) NODE(p##0, p##9)

static NOINLINE uint32_t leaf(void) { return hide(1); }
TEN(a, leaf) TEN(b, a0) TEN(c, b0) TEN(d, c0) TEN(e, d0) TEN(f, e0)

UF_ENTRY(tree) { return (int32_t)f0(); }

/* One instruction of each turn fills 60 MB. */
static __attribute__((target("bulk-memory"))) NOINLINE void fill_all(unsigned char *at, uint32_t n) {
    for (;;) __builtin_memset(at, (int)hide(1), hide(n));
}

UF_ENTRY(fill) {
    uint32_t pages = 920;
    fill_all((unsigned char *)(__builtin_wasm_memory_grow(0, pages) << 16), pages << 16);
    return 0;
}
