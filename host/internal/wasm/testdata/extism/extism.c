/* extism: a plugin of the Extism profile that does what its input says. The
 * input is a list of instructions: a byte that names one, a byte that counts
 * its arguments, and the arguments, ten bytes each: a byte that is 0 for a
 * number and 1 for the result of an earlier instruction, a byte that says of
 * which one, and eight bytes that are the number, or are added to that result.
 * The output is what the instructions that start with "show" were given. */
#include <stdint.h>

#define HOST(name) __attribute__((import_module("extism:host/env"), import_name(#name)))

HOST(alloc) uint64_t host_alloc(uint64_t);
HOST(free) void host_free(uint64_t);
HOST(length) uint64_t host_length(uint64_t);
HOST(length_unsafe) uint64_t host_length_unsafe(uint64_t);
HOST(load_u8) uint32_t host_load_u8(uint64_t);
HOST(load_u64) uint64_t host_load_u64(uint64_t);
HOST(store_u8) void host_store_u8(uint64_t, uint32_t);
HOST(store_u64) void host_store_u64(uint64_t, uint64_t);
HOST(input_set) void host_input_set(uint64_t, uint64_t);
HOST(input_length) uint64_t host_input_length(void);
HOST(input_offset) uint64_t host_input_offset(void);
HOST(input_load_u8) uint32_t host_input_load_u8(uint64_t);
HOST(input_load_u64) uint64_t host_input_load_u64(uint64_t);
HOST(output_set) void host_output_set(uint64_t, uint64_t);
HOST(output_length) uint64_t host_output_length(void);
HOST(output_offset) uint64_t host_output_offset(void);
HOST(error_set) void host_error_set(uint64_t);
HOST(error_get) uint64_t host_error_get(void);
HOST(reset) void host_reset(void);
HOST(memory_bytes) uint64_t host_memory_bytes(void);
HOST(config_get) uint64_t host_config_get(uint64_t);
HOST(var_get) uint64_t host_var_get(uint64_t);
HOST(var_set) void host_var_set(uint64_t, uint64_t);
HOST(http_request) uint64_t host_http_request(uint64_t, uint64_t);
HOST(http_status_code) uint32_t host_http_status_code(void);
HOST(http_headers) uint64_t host_http_headers(void);
HOST(get_log_level) uint32_t host_get_log_level(void);
HOST(log_trace) void host_log_trace(uint64_t);
HOST(log_debug) void host_log_debug(uint64_t);
HOST(log_info) void host_log_info(uint64_t);
HOST(log_warn) void host_log_warn(uint64_t);
HOST(log_error) void host_log_error(uint64_t);

static unsigned char program[1 << 16], shown[1 << 16];
static uint32_t size, at, shown_size;
static uint64_t results[256], kept;

static uint64_t number(uint32_t from) {
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | program[from + i];
    return n;
}

static void show(uint64_t n) {
    char digits[20];
    int i = 0;
    do digits[i++] = (char)('0' + n % 10); while (n /= 10);
    while (i) shown[shown_size++] = (unsigned char)digits[--i];
    shown[shown_size++] = ' ';
}

static void show_bytes(uint64_t block, uint64_t len) {
    for (uint64_t i = 0; i < len && shown_size < sizeof shown - 32; i++)
        shown[shown_size++] = (unsigned char)host_load_u8(block + i);
    shown[shown_size++] = '|';
}

/* Copies what is shown into a block and makes it the output. */
static void finish(void) {
    uint64_t block = host_alloc(shown_size);
    for (uint32_t i = 0; i < shown_size; i++) host_store_u8(block + i, shown[i]);
    host_output_set(block, shown_size);
}

static uint64_t text(uint64_t from, uint64_t len) {
    uint64_t block = host_alloc(len);
    for (uint64_t i = 0; i < len; i++) host_store_u8(block + i, program[from + i]);
    return block;
}

static uint64_t step(unsigned op, const uint64_t *a) {
    switch (op) {
    case 1: return host_alloc(a[0]);
    case 2: host_free(a[0]); return 0;
    case 3: return host_length(a[0]);
    case 4: return host_length_unsafe(a[0]);
    case 5: return host_load_u8(a[0]);
    case 6: return host_load_u64(a[0]);
    case 7: host_store_u8(a[0], (uint32_t)a[1]); return 0;
    case 8: host_store_u64(a[0], a[1]); return 0;
    case 9: host_input_set(a[0], a[1]); return 0;
    case 10: return host_input_length();
    case 11: return host_input_offset();
    case 12: return host_input_load_u8(a[0]);
    case 13: return host_input_load_u64(a[0]);
    case 14: host_output_set(a[0], a[1]); return 0;
    case 15: return host_output_length();
    case 16: return host_output_offset();
    case 17: host_error_set(a[0]); return 0;
    case 18: return host_error_get();
    case 19: host_reset(); return 0;
    case 20: return host_memory_bytes();
    case 21: return host_config_get(a[0]);
    case 22: return host_var_get(a[0]);
    case 23: host_var_set(a[0], a[1]); return 0;
    case 24: return host_http_request(a[0], a[1]);
    case 25: return host_http_status_code();
    case 26: return host_http_headers();
    case 27: return host_get_log_level();
    case 28: host_log_trace(a[0]); return 0;
    case 29: host_log_debug(a[0]); return 0;
    case 30: host_log_info(a[0]); return 0;
    case 31: host_log_warn(a[0]); return 0;
    case 32: host_log_error(a[0]); return 0;
    case 40: show(a[0]); return 0;                         /* show a number */
    case 41: show(a[0] != 0); return 0;                    /* show whether it is one */
    case 42: show_bytes(a[0], host_length(a[0])); return 0; /* show a block */
    case 43: show_bytes(a[0], a[1]); return 0;             /* show bytes */
    case 44: return text(at, a[0]);                        /* a block of the bytes that follow, which are skipped */
    case 45: __builtin_trap();
    case 46: for (uint64_t i = 0; i < a[0]; i++) host_alloc(a[1]); return 0;
    case 47: for (uint64_t i = 0; i < a[0]; i++) host_free(host_alloc(a[1])); return 0;
    case 48: kept = a[0]; return 0;
    case 49: return kept;
    case 50: return __builtin_wasm_memory_grow(0, (uint32_t)a[0]) >= 0;
    case 51: for (;;) host_length(a[0]);
    }
    __builtin_trap();
}

/* Reads the program; the length that step 0 of it would have is returned. */
static void read(void) {
    size = (uint32_t)host_input_length(), at = shown_size = 0;
    if (size > sizeof program) __builtin_trap();
    uint32_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t n = host_input_load_u64(i);
        for (int k = 0; k < 8; k++) program[i + k] = (unsigned char)(n >> 8 * k);
    }
    for (; i < size; i++) program[i] = (unsigned char)host_input_load_u8(i);
}

__attribute__((export_name("run"))) int32_t run(void) {
    read();
    int given = 0;
    for (unsigned n = 0; at + 2 <= size; n++) {
        unsigned op = program[at], count = program[at + 1];
        uint64_t args[4] = {0, 0, 0, 0};
        at += 2;
        for (unsigned i = 0; i < count; i++, at += 10)
            args[i & 3] = (program[at] ? results[program[at + 1]] : 0) + number(at + 2);
        if (op == 60) return given ? (int32_t)args[0] : (finish(), (int32_t)args[0]); /* return */
        results[n & 255] = step(op, args);
        if (op == 44) at += (uint32_t)args[0];
        given |= op == 14;
    }
    if (!given) finish();
    return 0;
}

/* Gives the input back. */
__attribute__((export_name("echo"))) int32_t echo(void) {
    host_output_set(host_input_offset(), host_input_length());
    return 0;
}

/* Gives the configuration named by the input back. */
__attribute__((export_name("configured"))) int32_t configured(void) {
    uint64_t value = host_config_get(host_input_offset());
    host_output_set(value, host_length(value));
    return 0;
}

/* Says nothing. */
__attribute__((export_name("quiet"))) void quiet(void) {}
