/* echo: gives back what it was given. The smallest useful plugin: it shows what
 * a step sees, and serves as a stand-in while a pipeline is being written. */
#include "uniflow.h"

UF_DESCRIPTOR("{\"name\":\"echo\",\"version\":\"1.0.0\",\"description\":\"Gives back its inputs and the context of the run\",\"functions\":{\"uniflow_run\":{}}}");

UF_ENTRY(uniflow_run) {
    uf_json run = uf_context();
    if (!run.len) return uf_fail(UF_FAILED, "cannot read the run context");
    uf_log(UF_INFO, "echoing the inputs and the context");
    int32_t end = uf_output_json("with", uf_get(run, "with"));
    if (end == UF_OK) end = uf_output_json("context", uf_get(run, "context"));
    return end;
}
