/* extism: the measured step as an Extism plugin that speaks to the host
 * itself, eight bytes at a time, without a kit. */
#include "step.h"

#define HOST(name) __attribute__((import_module("extism:host/env"), import_name(#name)))

HOST(input_length) uint64_t input_length(void);
HOST(input_load_u64) uint64_t input_load_u64(uint64_t at);
HOST(input_load_u8) uint32_t input_load_u8(uint64_t at);
HOST(alloc) uint64_t alloc(uint64_t len);
HOST(store_u64) void store_u64(uint64_t at, uint64_t bytes);
HOST(store_u8) void store_u8(uint64_t at, uint32_t byte);
HOST(output_set) void output_set(uint64_t at, uint64_t len);

static union { uint64_t words[1024]; char bytes[8192]; } doc;
static union { uint64_t words[STEP_ANSWER / 8]; char bytes[STEP_ANSWER]; } out;

__attribute__((export_name("run"))) int32_t run(void) {
    uint64_t size = input_length(), i;
    if (size > sizeof doc) return 1;
    for (i = 0; i + 8 <= size; i += 8) doc.words[i / 8] = input_load_u64(i);
    for (; i < size; i++) doc.bytes[i] = (char)input_load_u8(i);

    uint64_t len = step(doc.bytes, (uint32_t)size, out.bytes);
    if (!len) return 1;
    uint64_t at = alloc(len);
    for (i = 0; i + 8 <= len; i += 8) store_u64(at + i, out.words[i / 8]);
    for (; i < len; i++) store_u8(at + i, (unsigned char)out.bytes[i]);
    output_set(at, len);
    return 0;
}
