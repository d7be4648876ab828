/* reactor: the measured step as a reactor of Uniflow. */
#include "uniflow.h"

#include "step.h"

UF_ENTRY(uniflow_run) {
    char out[STEP_ANSWER];
    uf_json run = uf_context();
    uint32_t len = step(run.at, run.len, out);
    if (!len) return uf_fail(UF_PERMANENT, "with.values must be a list of integers");
    return uf_output_json("result", (uf_json){out, len});
}
