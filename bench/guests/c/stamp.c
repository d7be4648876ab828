/* stamp: tells when its first instructions ran, in nanoseconds since the Unix
 * epoch. Reading the clock is the first thing that it does. */
#include "uniflow.h"

__attribute__((import_module("wasi_snapshot_preview1"), import_name("clock_time_get")))
int32_t clock_time_get(int32_t id, int64_t precision, uint64_t *at);

UF_ENTRY(uniflow_run) {
    uint64_t now = 0;
    char digits[21];
    int i = sizeof digits;
    if (clock_time_get(0, 1, &now)) return uf_fail(UF_PERMANENT, "no clock");
    do digits[--i] = (char)('0' + now % 10);
    while (now /= 10);
    return uf_output_json("at", (uf_json){digits + i, (uint32_t)(sizeof digits - (unsigned)i)});
}
