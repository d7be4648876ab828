/* Reads malformed and hostile documents natively, where a sanitizer sees every byte that is read out of bounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uniflow.h"

/* Each piece of memory is as large as was asked for. */
void *uf_alloc(uint32_t n) { return malloc(n); }

int32_t uf_import_input_size(void) { return 0; }
int32_t uf_import_input_read(void *dst, uint32_t off, uint32_t len) { return (void)dst, (void)off, (void)len, 0; }
int32_t uf_import_output(const char *name, uint32_t name_len, const char *value, uint32_t len) {
    return (void)name, (void)name_len, (void)value, (void)len, 0;
}
void uf_import_log(int32_t level, const char *msg, uint32_t len) { (void)level, (void)msg, (void)len; }
int32_t uf_import_progress(int32_t permille, const char *msg, uint32_t len) { return (void)permille, (void)msg, (void)len, 0; }
int32_t uf_import_call(const char *op, uint32_t op_len, const char *req, uint32_t len) {
    return (void)op, (void)op_len, (void)req, (void)len, -UF_E_UNKNOWN_OP;
}
int32_t uf_import_call_read(void *dst, uint32_t off, uint32_t len) { return (void)dst, (void)off, (void)len, 0; }
int32_t uf_import_call_write(const void *src, uint32_t len) { return (void)src, (void)len, 0; }

static uint32_t failed_with; /* bytes of the last message of uf_fail */
int32_t uf_import_fail(int32_t kind, const char *msg, uint32_t len) {
    if (len > UF_MESSAGE || !msg) abort();
    failed_with = len;
    return kind;
}

static int wrong;

static void want(int ok, const char *what) {
    if (!ok) printf("wrong: %s\n", what), wrong = 1;
}

/* walk reads a value in every way that there is. */
static void walk(uf_json v, int depth) {
    double d;
    int64_t n;
    int yes;
    uf_iter it;
    uf_json key, value;
    uf_number(v, &d), uf_int(v, &n), uf_bool(v, &yes);
    uf_base64(uf_text(v));
    uf_get(v, "a");
    if (depth > 66) return;
    for (it = uf_each(v); uf_next(&it, &value);) walk(value, depth + 1);
    for (it = uf_each(v); uf_next_member(&it, &key, &value);) walk(key, depth + 1);
}

/* read_all reads every beginning of a document, in memory of its size. */
static void read_all(const char *doc) {
    uint32_t size = uf_strlen(doc);
    for (uint32_t n = 0; n <= size; n++) {
        char *copy = (char *)malloc(n ? n : 1);
        memcpy(copy, doc, n);
        walk(uf_parse((uf_str){copy, n}), 0);
        walk((uf_json){copy, n}, 0); /* no value at all, perhaps */
        free(copy);
    }
}

static uf_str number(double v) {
    uf_buf b = uf_buffer(64);
    uf_put_number(&b, v);
    return (uf_str){b.at, b.len};
}

int main(void) {
    static const char *docs[] = {"{\"a\":[1,2.5e-3,{\"b\":\"x\\ud83d\\ude00\\u00e9\\n\"}],\"a\":null,\"c\":true}", "{\"a\\", "\"\\u12", "\"\\ud800\\u",
        "\"\\ud800\\udc", "[}", "{]", "{\"a\"}", "{:}", "[,]", "[[[[", "{{{{", "\\", "\"", "-", "1e", "1e+", "--1", "\"\\x\"", "{\"a\":\"\\\"}", "1e999999999",
        "99999999999999999999999999", "[1 2]", "{\"a\" 1}", "nul", "\"====\"", "\"AAA\"", "\"A\""};
    for (uint32_t i = 0; i < sizeof docs / sizeof *docs; i++) read_all(docs[i]);
    char deep[200];
    memset(deep, '[', sizeof deep);
    want(uf_parse((uf_str){deep, sizeof deep}).len == 0, "200 brackets are no value");
    memset(deep + UF_DEPTH, ']', UF_DEPTH);
    want(uf_parse((uf_str){deep, 2 * UF_DEPTH}).len == 2 * UF_DEPTH, "values of 64 levels in a run context are read");

    int64_t n;
    want(uf_int(uf_s("-9223372036854775808"), &n) && n == INT64_MIN, "the smallest number of 64 bits");
    want(uf_int(uf_s("9223372036854775807"), &n) && n == INT64_MAX, "the largest number of 64 bits");
    want(!uf_int(uf_s("9223372036854775808"), &n) && !uf_int(uf_s("1.0"), &n) && !uf_int(uf_s("-"), &n), "what is no number of 64 bits");
    want(uf_equals(uf_text(uf_s("\"\\ud83d\\ude00\\ud83d!\"")), "\xf0\x9f\x98\x80\xef\xbf\xbd!"), "pairs, and half of one");
    want(uf_equals(number(99.5), "99.5") && uf_equals(number(-0.1), "-0.1") && uf_equals(number(1e300), "1e300"), "numbers");
    want(uf_equals(number(5e-324 / 2), "0") && uf_equals(number(123456789012345678.0), "123456789012346e3"), "large and small numbers");
    want(uf_equals(number(1.0 / 0.0), "null"), "what is no number");
    want(uf_equals(number(1.5e-7), "0.00000015") && uf_equals(number(2.5e-30), "25e-31"), "decimals");

    static char text[40000];
    memset(text, 1, sizeof text);
    want(uf_end(UF_FAILED, uf_s("code"), (uf_str){text, sizeof text}, 0) == UF_FAILED && failed_with > 5000, "a long message is shortened");
    memset(text, 0xbf, sizeof text);
    want(uf_clip((uf_str){text, sizeof text}, 20000).len == 0, "a text without a beginning");
    return wrong;
}
