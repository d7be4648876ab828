/* The conformance program of the C kit; sdk/abi/testdata/README.md says what it does. */
#include "uniflow.h"

/* first returns the first ending that is not UF_OK. */
static int32_t first(int32_t a, int32_t b) { return a ? a : b; }

static uf_str text_of(const uf_run *run, const char *name) { return uf_text(uf_get(run->with, name)); }

static int32_t values(const uf_run *run) {
    uf_json numbers = uf_get(run->with, "numbers"), text = uf_get(run->with, "text"), v;
    int64_t count = 0;
    double sum = 0, n;
    int flag;
    if (!uf_is(numbers, '[') || !uf_is(text, '"') || !uf_bool(uf_get(run->with, "flag"), &flag))
        return uf_permanent("", "with needs numbers, text and flag");
    for (uf_iter it = uf_each(numbers); uf_next(&it, &v); count++) {
        if (!uf_number(v, &n)) return uf_permanent("", "numbers must hold numbers");
        sum += n;
    }
    uf_buf out = uf_buffer(32);
    uf_put_number(&out, sum);
    int32_t end = first(uf_output("sum", &out), uf_output_int("count", count));
    return first(end, first(uf_output_text("text", uf_text(text)), uf_output_bool("flag", flag)));
}

static int32_t context(const uf_run *run) {
    uf_json station = uf_get(run->context, "station");
    int32_t end = first(uf_output_text("pipeline", run->pipeline), uf_output_text("step", run->step));
    end = first(end, first(uf_output_int("attempt", run->attempt), uf_output_text("trigger", run->trigger)));
    return first(end, uf_output_json("station", station.len ? station : uf_s("null")));
}

static int32_t item(const uf_run *run) {
    int32_t end = uf_output_json("item", run->item.len ? run->item : uf_s("null"));
    if (run->item_index < 0) return first(end, uf_output_json("index", uf_s("null")));
    return first(end, uf_output_int("index", run->item_index));
}

static int32_t logs(void) {
    uf_log(UF_DEBUG, "one");
    uf_log(UF_INFO, "two");
    uf_log(UF_WARN, "three: ü");
    uf_log(UF_ERROR, "four");
    return uf_output_bool("cancelled", uf_progress(500, "half"));
}

static int32_t http(const uf_run *run) {
    uf_header header = {uf_s("content-type"), text_of(run, "header")};
    uf_http_request request = {.method = text_of(run, "method"), .url = text_of(run, "url"), .headers = &header,
        .header_count = header.value.len > 0, .body = text_of(run, "body")};
    uf_http_response got;
    if (uf_http(&request, &got) < 0) return uf_let_through();
    uf_json type = uf_get(got.headers, "content-type");
    int32_t end = first(uf_output_int("status", got.status), uf_output_json("type", type.len ? type : uf_s("null")));
    return first(end, uf_output_text("body", got.body));
}

static int32_t secret(const uf_run *run) {
    uf_str value;
    if (uf_secret(text_of(run, "name"), &value) < 0) return uf_let_through();
    return uf_output_text("value", value);
}

static int32_t state(const uf_run *run) {
    uf_str key = text_of(run, "key");
    uf_json value, keys;
    if (uf_state_get(key, &value) < 0) return uf_let_through();
    int64_t n = uf_int_or(value, 0) + 1;
    uf_buf b = uf_buffer(24);
    uf_put_int(&b, n);
    if (uf_state_set(key, (uf_json){b.at, b.len}) < 0) return uf_let_through();
    if (uf_state_delete(uf_s("old")) < 0 || uf_state_list(uf_s(""), &keys) < 0) return uf_let_through();
    return first(uf_output_int("n", n), uf_output_json("keys", keys));
}

static int32_t artifact(const uf_run *run) {
    uf_str text = text_of(run, "text"), content;
    int64_t times = uf_int_or(uf_get(run->with, "times"), 0);
    uf_buf b = uf_buffer(text.len * (uint32_t)times);
    uf_json ref;
    for (int64_t i = 0; i < times; i++) uf_put_raw(&b, text);
    if (uf_artifact_put(text_of(run, "name"), uf_s("text/plain"), (uf_str){b.at, b.len}, &ref) < 0) return uf_let_through();
    if (uf_artifact_get(ref, &content) < 0) return uf_let_through();
    int32_t end = first(uf_output_json("ref", ref), uf_output_int("size", content.len));
    return end || content.len > 1000 ? end : uf_output_text("text", content);
}

static int32_t event(const uf_run *run) {
    uf_str id;
    if (uf_emit(text_of(run, "type"), text_of(run, "subject"), uf_get(run->with, "data"), &id) < 0) return uf_let_through();
    return uf_output_text("id", id);
}

static int32_t unknown(void) {
    uf_str response;
    if (uf_call_body("no.such", uf_s("{}"), uf_missing(), &response) == 0) return uf_fail(UF_FAILED, "no.such is not refused");
    int32_t end = first(uf_output_text("code", uf_refused.code), uf_output_text("message", uf_refused.message));
    return first(end, uf_output_text("hint", uf_refused.hint));
}

static int32_t fail(const uf_run *run) {
    uf_str kind = text_of(run, "kind");
    int32_t number = uf_equals(kind, "skip") ? UF_SKIP : uf_equals(kind, "retry") ? UF_RETRY
        : uf_equals(kind, "permanent") ? UF_PERMANENT : UF_FAILED;
    uf_output_int("before", 1);
    return uf_end(number, text_of(run, "code"), text_of(run, "message"), uf_int_or(uf_get(run->with, "after_ms"), 0));
}

/* attempt makes the calls of a vector of attempt.json. */
static int32_t attempt(const uf_run *run) {
    uf_json calls = uf_get(run->with, "calls"), call;
    uf_buf names = uf_buffer(UF_MESSAGE);
    for (uf_iter it = uf_each(calls); uf_next(&it, &call);) {
        uf_str key = uf_text(uf_get(call, "key")), value = uf_text(uf_get(call, "value")), text = uf_text(uf_get(call, "text"));
        int32_t n = uf_equals(uf_text(uf_get(call, "do")), "fail")
            ? uf_import_fail((int32_t)uf_int_or(uf_get(call, "kind"), 0), text.at, text.len)
            : uf_import_output(key.at, key.len, value.at, value.len);
        if (names.len) uf_put(&names, " ");
        uf_put(&names, uf_error_name(-n));
    }
    uf_log_text(UF_INFO, (uf_str){names.at, names.len});
    return (int32_t)uf_int_or(uf_get(run->with, "return"), 0);
}

UF_ENTRY(uniflow_run) {
    uf_run run;
    if (uf_read_run(&run)) return UF_FAILED;
    uf_str which = text_of(&run, "case");
    if (uf_equals(which, "echo")) return uf_output_json("document", uf_get(run.with, "document"));
    if (uf_equals(which, "values")) return values(&run);
    if (uf_equals(which, "context")) return context(&run);
    if (uf_equals(which, "item")) return item(&run);
    if (uf_equals(which, "log")) return logs();
    if (uf_equals(which, "http")) return http(&run);
    if (uf_equals(which, "secret")) return secret(&run);
    if (uf_equals(which, "state")) return state(&run);
    if (uf_equals(which, "artifact")) return artifact(&run);
    if (uf_equals(which, "event")) return event(&run);
    if (uf_equals(which, "unknown")) return unknown();
    if (uf_equals(which, "fail")) return fail(&run);
    if (uf_equals(which, "attempt")) return attempt(&run);
    uf_buf why = uf_buffer(which.len * 6 + 32);
    uf_put(&why, "unknown case ");
    uf_put_string(&why, which);
    return uf_end(UF_PERMANENT, uf_missing(), (uf_str){why.at, why.len}, 0);
}
