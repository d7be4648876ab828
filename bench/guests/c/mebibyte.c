/* mebibyte: hands a JSON value of 1 MiB back as it came, without reading it:
 * what crossing the border of the sandbox costs. */
#include "uniflow.h"

enum { VALUE = 1 << 20, REST = 8192 };

static char doc[VALUE + REST];

UF_ENTRY(uniflow_run) {
    static const char name[] = "\"data\":";
    uint32_t size = (uint32_t)uf_import_input_size(), at = 0, same = 0;
    if (size > sizeof doc) return uf_fail(UF_PERMANENT, "the run context is too large");
    uf_import_input_read(doc, 0, size);
    for (; at + VALUE < size && same < sizeof name - 1; at++) same = doc[at] == name[same] ? same + 1 : 0;
    if (same < sizeof name - 1) return uf_fail(UF_PERMANENT, "with.data must be a string of 1 MiB as JSON");
    return uf_output_json("result", (uf_json){doc + at, VALUE});
}
