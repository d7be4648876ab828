/* parse: a plugin that traps in known lines, built with debug information. The
 * name of the function says how: uniflow_run aborts, divide divides by zero,
 * reach reads outside of the memory, and spin does not end. */
#define EXPORT(name) __attribute__((export_name(#name))) int name(void)

volatile int zero;

__attribute__((export_name("uniflow_abi_v1"))) void uniflow_abi_v1(void) {}

static int parse(int depth) {
    if (depth == 0) {
        __builtin_trap();
    }
    return parse(depth - 1) + 1;
}

EXPORT(uniflow_run) {
    for (int i = 0; i < 10; i++) {
        zero += i;
    }
    zero = 0;
    return parse(1);
}

EXPORT(divide) {
    int n = 7;
    while (n > 3) {
        n--;
    }
    return n / zero;
}

EXPORT(reach) {
    return *(volatile int *)0x7ffffff0;
}

EXPORT(spin) {
    for (;;) {
        zero = zero + 1;
    }
}
