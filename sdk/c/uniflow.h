/*
 * uniflow.h: the C kit for steps of Uniflow, in one header.
 *
 * Include it in one source file of a plugin and define entries:
 *
 *     #include "uniflow.h"
 *
 *     UF_ENTRY(greet) {
 *         uf_buf out = uf_buffer(256);
 *         uf_put(&out, "\"hello\"");
 *         return uf_output("greeting", &out);
 *     }
 *
 * An entry returns UF_OK or an ending: uf_skip, uf_retry, uf_permanent, uf_end
 * with everything, or uf_let_through after a service said no.
 *
 * It needs clang and wasm-ld, no libc and no WASI:
 *
 *     clang --target=wasm32 -std=c11 -Oz -ffreestanding -nostdlib \
 *         -Wl,--no-entry -Wl,--strip-all -o greet.wasm greet.c
 *
 * Memory comes from one arena that is emptied when an entry starts, so nothing
 * has to be freed. Every read of JSON is bounded by the document and by
 * UF_DEPTH; a value that is missing or malformed reads as missing.
 */
#ifndef UNIFLOW_H
#define UNIFLOW_H

#include <stddef.h>
#include <stdint.h>
#ifdef __wasi__
#include <stdlib.h>
#endif

/* How a step ends; the numbers of the contract. */
enum { UF_OK = 0, UF_FAILED = 1, UF_SKIP = 2, UF_RETRY = 3, UF_PERMANENT = 4 };

/* Levels of uf_log. */
enum { UF_TRACE = 0, UF_DEBUG = 1, UF_INFO = 2, UF_WARN = 3, UF_ERROR = 4 };

/* Error numbers of host calls, which return them negated. */
enum {
    UF_E_DENIED = 1, UF_E_NOT_FOUND = 2, UF_E_TOO_LARGE = 3, UF_E_INVALID = 4, UF_E_UNAVAILABLE = 5,
    UF_E_CANCELLED = 6, UF_E_QUOTA = 7, UF_E_UNKNOWN_OP = 8, UF_E_FAULT = 9
};

#define UF_DEPTH 66 /* nesting of JSON that is read: 64 of a value, and 2 of the run context around it */

#ifdef __wasm__
#define UF_IMPORT(name) __attribute__((import_module("uniflow"), import_name(#name)))
#define UF_EXPORT(name) __attribute__((export_name(#name)))
#else /* a native test of a step: it brings its own uf_import_* and uf_alloc */
#define UF_IMPORT(name)
#define UF_EXPORT(name)
#endif

#ifdef __cplusplus
extern "C" {
#endif

UF_IMPORT(input_size) int32_t uf_import_input_size(void);
UF_IMPORT(input_read) int32_t uf_import_input_read(void *dst, uint32_t off, uint32_t len);
UF_IMPORT(output) int32_t uf_import_output(const char *name, uint32_t name_len, const char *value, uint32_t len);
UF_IMPORT(log) void uf_import_log(int32_t level, const char *msg, uint32_t len);
UF_IMPORT(fail) int32_t uf_import_fail(int32_t kind, const char *msg, uint32_t len);
UF_IMPORT(progress) int32_t uf_import_progress(int32_t permille, const char *msg, uint32_t len);
UF_IMPORT(call) int32_t uf_import_call(const char *op, uint32_t op_len, const char *req, uint32_t len);
UF_IMPORT(call_read) int32_t uf_import_call_read(void *dst, uint32_t off, uint32_t len);
UF_IMPORT(call_write) int32_t uf_import_call_write(const void *src, uint32_t len);

#ifdef __cplusplus
#define UF_C extern "C"
#else
#define UF_C
#endif

/* The mark of a reactor; never called. */
UF_EXPORT(uniflow_abi_v1) void uniflow_abi_v1(void) {}

/* UF_ENTRY(name) { ... } defines the entry that a manifest calls by
 * function = "name". It returns UF_OK or another ending. */
#define UF_ENTRY(name)                              \
    static int32_t uf_entry_##name(void);           \
    UF_C UF_EXPORT(name) int32_t name(void) {       \
        uf_arena_empty();                           \
        return uf_entry_##name();                   \
    }                                               \
    static int32_t uf_entry_##name(void)

/* A piece of text that belongs to somebody else; not terminated by zero. */
typedef struct { const char *at; uint32_t len; } uf_str;

/* One JSON value as it stands in the document; len 0 when it is missing. */
typedef uf_str uf_json;

static inline uint32_t uf_strlen(const char *s) {
    uint32_t n = 0;
    while (s[n]) n++;
    return n;
}

static inline void uf_copy(char *dst, const char *src, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) dst[i] = src[i];
}

static inline int uf_equal(uf_str a, uf_str b) {
    if (a.len != b.len) return 0;
    for (uint32_t i = 0; i < a.len; i++)
        if (a.at[i] != b.at[i]) return 0;
    return 1;
}

/* ---- memory ---- */

#if defined(__wasm__) && !defined(__wasi__)
static uintptr_t uf_arena_next;
static inline void uf_arena_empty(void) { uf_arena_next = 0; }
extern unsigned char __heap_base;

/* uf_alloc returns n bytes, or NULL when the memory limit is reached. */
static inline void *uf_alloc(uint32_t n) {
    if (!uf_arena_next) uf_arena_next = ((uintptr_t)&__heap_base + 7) & ~(uintptr_t)7;
    uint64_t end = ((uint64_t)uf_arena_next + n + 7) & ~(uint64_t)7;
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) << 16;
    if (end > UINT32_MAX) return NULL;
    if (end > have && __builtin_wasm_memory_grow(0, (size_t)((end - have + 0xffff) >> 16)) == (size_t)-1) return NULL;
    void *start = (void *)uf_arena_next;
    uf_arena_next = (uintptr_t)end;
    return start;
}

/* What compilers call for copies of larger structures; dropped where unused. */
#define UF_WEAK __attribute__((weak))
UF_WEAK void *memmove(void *dst, const void *src, size_t n) {
    char *d = (char *)dst;
    const char *s = (const char *)src;
    if (d < s) for (size_t i = 0; i < n; i++) d[i] = s[i];
    else while (n--) d[n] = s[n];
    return dst;
}
UF_WEAK void *memcpy(void *dst, const void *src, size_t n) { return memmove(dst, src, n); }
UF_WEAK void *memset(void *dst, int c, size_t n) {
    for (size_t i = 0; i < n; i++) ((char *)dst)[i] = (char)c;
    return dst;
}
#elif defined(__wasi__) /* a libc has the heap */
static inline void uf_arena_empty(void) {}
static inline void *uf_alloc(uint32_t n) { return malloc(n ? n : 1); }
#else
static inline void uf_arena_empty(void) {}
void *uf_alloc(uint32_t n);
#endif

/* ---- reading JSON ---- */

static inline const char *uf_blank(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

/* uf_string_end returns the end of the string that starts at p, or NULL. */
static inline const char *uf_string_end(const char *p, const char *end) {
    for (p++; p < end; p++) {
        if (*p == '"') return p + 1;
        if (*p == '\\') p++;
    }
    return NULL;
}

static inline int uf_ends_scalar(char c) {
    return c == ',' || c == '}' || c == ']' || c == ':' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* uf_value_end returns the end of the value that starts at p, or NULL. */
static inline const char *uf_value_end(const char *p, const char *end) {
    if (p >= end) return NULL;
    if (*p == '"') return uf_string_end(p, end);
    if (*p != '{' && *p != '[') {
        const char *start = p;
        while (p < end && !uf_ends_scalar(*p)) p++;
        return p > start ? p : NULL;
    }
    for (uint32_t depth = 0; p < end;) {
        if (*p == '"') {
            if (!(p = uf_string_end(p, end))) return NULL;
            continue;
        }
        if ((*p == '{' || *p == '[') && ++depth > UF_DEPTH) return NULL;
        if ((*p == '}' || *p == ']') && --depth == 0) return p + 1;
        p++;
    }
    return NULL;
}

static inline uf_json uf_missing(void) { return (uf_json){NULL, 0}; }

/* uf_parse returns the value that a text holds. */
static inline uf_json uf_parse(uf_str text) {
    const char *end = text.at + text.len, *p = uf_blank(text.at, end), *stop = uf_value_end(p, end);
    return stop ? (uf_json){p, (uint32_t)(stop - p)} : uf_missing();
}

static inline int uf_is(uf_json v, char first) { return v.len > 0 && v.at[0] == first; }
static inline int uf_is_null(uf_json v) { return v.len == 0 || v.at[0] == 'n'; }

/* uf_iter walks through the elements of a list or the members of an object. */
typedef struct { const char *at, *end; } uf_iter;

static inline uf_iter uf_each(uf_json v) {
    if (!uf_is(v, '[') && !uf_is(v, '{')) return (uf_iter){NULL, NULL};
    return (uf_iter){v.at + 1, v.at + v.len - 1};
}

static inline int uf_take(uf_iter *it, uf_json *value) {
    it->at = uf_blank(it->at, it->end);
    const char *stop = uf_value_end(it->at, it->end);
    if (!stop) return 0;
    *value = (uf_json){it->at, (uint32_t)(stop - it->at)};
    it->at = uf_blank(stop, it->end);
    if (it->at < it->end && (*it->at == ',' || *it->at == ':')) it->at++;
    return 1;
}

/* uf_next stores the next element of a list; 0 at the end. */
static inline int uf_next(uf_iter *it, uf_json *value) { return it->at && uf_take(it, value); }

/* uf_next_member stores the next member of an object; 0 at the end. */
static inline int uf_next_member(uf_iter *it, uf_json *key, uf_json *value) {
    return it->at && uf_take(it, key) && uf_take(it, value);
}

/* uf_hex4 returns the number that four hex digits stand for, or -1. */
static inline int32_t uf_hex4(const char *p) {
    int32_t n = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int32_t d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0) return -1;
        n = n * 16 + d;
    }
    return n;
}

static inline uint32_t uf_utf8(char *dst, uint32_t c) {
    if (c < 0x80) return dst[0] = (char)c, 1;
    if (c < 0x800) return dst[0] = (char)(0xc0 | c >> 6), dst[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return dst[0] = (char)(0xe0 | c >> 12), dst[1] = (char)(0x80 | (c >> 6 & 63)), dst[2] = (char)(0x80 | (c & 63)), 3;
    dst[0] = (char)(0xf0 | c >> 18), dst[1] = (char)(0x80 | (c >> 12 & 63));
    return dst[2] = (char)(0x80 | (c >> 6 & 63)), dst[3] = (char)(0x80 | (c & 63)), 4;
}

/* uf_unescape writes the character of the escape after the backslash at *p to
 * dst and moves *p behind it; 0 when the escape is malformed. A half of a pair
 * without the other reads as U+FFFD. */
static inline uint32_t uf_unescape(const char **p, const char *end, char *dst) {
    const char *from = "\"\\/bfnrt", *to = "\"\\/\b\f\n\r\t", *at = *p + 1;
    if (at >= end) return 0;
    for (int i = 0; from[i]; i++)
        if (*at == from[i]) return *p = at + 1, dst[0] = to[i], 1;
    if (*at != 'u' || end - at < 5) return 0;
    int32_t c = uf_hex4(at + 1);
    if (c < 0) return 0;
    at += 5;
    if (c >= 0xd800 && c < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        int32_t low = uf_hex4(at + 2);
        if (low >= 0xdc00 && low < 0xe000) c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), at += 6;
    }
    if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
    *p = at;
    return uf_utf8(dst, (uint32_t)c);
}

/* uf_text returns the text of a JSON string, len 0 and at NULL when v is no
 * string. Without escapes it lies in the document, else in the arena. */
static inline uf_str uf_text(uf_json v) {
    if (!uf_is(v, '"') || v.len < 2) return uf_missing();
    const char *p = v.at + 1, *end = v.at + v.len - 1;
    const char *plain = p;
    while (plain < end && *plain != '\\') plain++;
    if (plain == end) return (uf_str){p, v.len - 2};
    char *dst = (char *)uf_alloc(v.len);
    uint32_t n = 0;
    if (!dst) return uf_missing();
    while (p < end) {
        uint32_t put = 1;
        if (*p != '\\') dst[n] = *p++;
        else if (!(put = uf_unescape(&p, end, dst + n))) return uf_missing();
        n += put;
    }
    return (uf_str){dst, n};
}

/* uf_get returns the member of an object; the last one of a name counts. */
static inline uf_json uf_get(uf_json object, const char *name) {
    uf_json key, value, found = uf_missing();
    uf_str want = {name, uf_strlen(name)};
    if (!uf_is(object, '{')) return found;
    for (uf_iter it = uf_each(object); uf_next_member(&it, &key, &value);)
        if (uf_equal(uf_text(key), want)) found = value;
    return found;
}

/* uf_number stores a JSON number and returns 1, or 0 when v is none. Numbers of
 * up to 15 digits are exact as a double can be. */
static inline int uf_number(uf_json v, double *out) {
    const char *p = v.at, *end = v.at + v.len;
    int negative = uf_is(v, '-'), scale = 0, exp = 0, minus = 0;
    uint64_t digits = 0;
    if (negative) p++;
    if (p >= end || *p < '0' || *p > '9') return 0;
    for (int point = 0; p < end && (*p == '.' || (*p >= '0' && *p <= '9')); p++) {
        if (*p == '.') point = 1;
        else if (digits < 100000000000000000u) digits = digits * 10 + (uint64_t)(*p - '0'), scale -= point;
        else scale += !point;
    }
    if (p < end && (*p | 32) == 'e') {
        if (++p < end && (*p == '-' || *p == '+')) minus = *p++ == '-';
        for (; p < end && *p >= '0' && *p <= '9'; p++)
            if (exp < 10000) exp = exp * 10 + (*p - '0');
    }
    scale += minus ? -exp : exp;
    double power = 1, value = (double)digits;
    for (int i = scale < 0 ? -scale : scale; i > 0 && power < 1e300; i--) power *= 10;
    value = scale < 0 ? value / power : value * power;
    *out = negative ? -value : value;
    return p == end;
}

/* ---- writing JSON ---- */

/* uf_buf collects text in a piece of the arena; what does not fit is dropped
 * and makes it broken, which uf_output reports. */
typedef struct { char *at; uint32_t len, cap; int broken; } uf_buf;

static inline uf_buf uf_buffer(uint32_t cap) {
    char *at = (char *)uf_alloc(cap);
    return (uf_buf){at, 0, at ? cap : 0, !at};
}

static inline void uf_put_raw(uf_buf *b, uf_str s) {
    if (s.len > b->cap - b->len) b->broken = 1;
    if (b->broken) return;
    uf_copy(b->at + b->len, s.at, s.len);
    b->len += s.len;
}

static inline void uf_put(uf_buf *b, const char *s) { uf_put_raw(b, (uf_str){s, uf_strlen(s)}); }

/* uf_put_string puts text as a JSON string. */
static inline void uf_put_string(uf_buf *b, uf_str s) {
    uf_put(b, "\"");
    for (uint32_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        char escape[7] = {'\\', 'u', '0', '0', "0123456789abcdef"[c >> 4], "0123456789abcdef"[c & 15], 0};
        if (c < 0x20) uf_put(b, escape);
        else if (c == '"' || c == '\\') escape[1] = (char)c, escape[2] = 0, uf_put(b, escape);
        else uf_put_raw(b, (uf_str){s.at + i, 1});
    }
    uf_put(b, "\"");
}

static inline void uf_put_int(uf_buf *b, int64_t n) {
    char digits[21];
    uint32_t i = sizeof digits;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do digits[--i] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (n < 0) digits[--i] = '-';
    uf_put_raw(b, (uf_str){digits + i, (uint32_t)sizeof digits - i});
}

/* uf_put_fixed puts a number rounded to so many decimals (0 to 6), half away
 * from zero; null when it is too large for that. */
static inline void uf_put_fixed(uf_buf *b, double v, int decimals) {
    int64_t unit = 1;
    for (int i = 0; i < decimals && i < 6; i++) unit *= 10;
    double scaled = (v < 0 ? -v : v) * (double)unit + 0.5;
    if (!(scaled < 9e15)) {
        uf_put(b, "null");
        return;
    }
    int64_t n = (int64_t)scaled;
    if (v < 0 && n > 0) uf_put(b, "-");
    uf_put_int(b, n / unit);
    if (unit > 1) uf_put(b, ".");
    for (n %= unit; unit > 1; n %= unit) uf_put_int(b, n / (unit /= 10));
}

/* ---- talking to the host ---- */

/* uf_context returns the run context, missing when there is no memory for it. */
static inline uf_json uf_context(void) {
    int32_t size = uf_import_input_size();
    char *at = size > 0 ? (char *)uf_alloc((uint32_t)size) : NULL;
    if (!at || uf_import_input_read(at, 0, (uint32_t)size) != size) return uf_missing();
    return uf_parse((uf_str){at, (uint32_t)size});
}

/* uf_fail records why the step does not succeed and returns the ending. */
static inline int32_t uf_fail(int32_t kind, const char *why) {
    uf_import_fail(kind, why, uf_strlen(why));
    return kind;
}

/* uf_output_json sets an output; it returns UF_OK or fails the step. */
static inline int32_t uf_output_json(const char *name, uf_json value) {
    int32_t refused = uf_import_output(name, uf_strlen(name), value.at, value.len);
    if (refused == -UF_E_TOO_LARGE) return uf_fail(UF_PERMANENT, "the outputs exceed the limit of the step");
    if (refused < 0) return uf_fail(UF_FAILED, "the host refused an output");
    return UF_OK;
}

/* uf_output sets an output to what a buffer holds. */
static inline int32_t uf_output(const char *name, const uf_buf *b) {
    if (b->broken) return uf_fail(UF_PERMANENT, "the output does not fit into the buffer of the plugin");
    return uf_output_json(name, (uf_json){b->at, b->len});
}

static inline void uf_log(int32_t level, const char *message) { uf_import_log(level, message, uf_strlen(message)); }

/* uf_progress says how far the step is, in thousandths; 1 when the attempt is
 * being cancelled. */
static inline int uf_progress(int32_t permille, const char *message) {
    return uf_import_progress(permille, message, uf_strlen(message)) == 1;
}

/* uf_call calls a service and stores the response, which lies in the arena. It
 * returns 0 or a negated error number. */
static inline int32_t uf_call(const char *op, uf_str request, uf_str *response) {
    int32_t size = uf_import_call(op, uf_strlen(op), request.at, request.len);
    if (size < 0) return size;
    char *at = (char *)uf_alloc((uint32_t)size);
    if (!at) return -UF_E_TOO_LARGE;
    int32_t n = uf_import_call_read(at, 0, (uint32_t)size);
    if (n < 0) return n;
    *response = (uf_str){at, (uint32_t)n};
    return 0;
}

/* ---- the run ---- */

static inline uf_str uf_s(const char *s) { return (uf_str){s, uf_strlen(s)}; }

static inline int uf_equals(uf_str s, const char *other) { return uf_equal(s, uf_s(other)); }

/* uf_int stores a JSON number that is a whole one of 64 bits, exactly, and
 * returns 1; else 0. */
static inline int uf_int(uf_json v, int64_t *out) {
    uint32_t i = (uint32_t)uf_is(v, '-'), negative = i;
    uint64_t n = 0, most = (uint64_t)INT64_MAX + negative;
    if (i == v.len) return 0;
    for (; i < v.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)v.at[i] - '0';
        if (digit > 9 || n > (most - digit) / 10) return 0;
        n = n * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - n) : (int64_t)n;
    return 1;
}

/* uf_bool stores a JSON boolean and returns 1; else 0. */
static inline int uf_bool(uf_json v, int *out) {
    *out = uf_equals(v, "true");
    return *out || uf_equals(v, "false");
}

/* What a step knows. Texts are empty and values missing where there is none;
 * doc is the whole run context, for members that are not listed here. */
typedef struct {
    uf_json doc;
    uf_str tenant, project, pipeline, version, label, run_id, step, function, idempotency_key, trigger, schedule;
    uf_str scheduled_at, interval_start, interval_end, started_at, deadline, last_success_at; /* RFC 3339, UTC */
    int64_t attempt, max_attempts;
    uf_json context, with, item, features;
    int64_t item_index; /* -1 outside a fan-out */
} uf_run;

static inline int64_t uf_int_or(uf_json v, int64_t other) {
    int64_t n;
    return uf_int(v, &n) ? n : other;
}

/* The members of a run context that are kept as texts, and as JSON. */
typedef struct { const char *name; uint32_t at; int is_text; } uf_run_member;

#define UF_TEXT(name) {#name, offsetof(uf_run, name), 1}
#define UF_JSON(name) {#name, offsetof(uf_run, name), 0}

/* uf_read_run stores what the step knows and returns UF_OK, or fails it. */
static inline int32_t uf_read_run(uf_run *r) {
    static const uf_run_member members[] = {UF_TEXT(tenant), UF_TEXT(project), UF_TEXT(pipeline), UF_TEXT(version),
        UF_TEXT(label), UF_TEXT(run_id), UF_TEXT(step), UF_TEXT(function), UF_TEXT(idempotency_key), UF_TEXT(trigger),
        UF_TEXT(schedule), UF_TEXT(scheduled_at), UF_TEXT(interval_start), UF_TEXT(interval_end), UF_TEXT(started_at),
        UF_TEXT(deadline), UF_TEXT(last_success_at), UF_JSON(context), UF_JSON(with), UF_JSON(item), UF_JSON(features)};
    uf_json name, v;
    for (uint32_t i = 0; i < sizeof members / sizeof *members; i++)
        *(uf_str *)((char *)r + members[i].at) = uf_missing();
    r->attempt = r->max_attempts = 1, r->item_index = -1;
    r->doc = uf_context();
    if (!uf_is(r->doc, '{')) return uf_fail(UF_FAILED, "cannot read the run context");
    for (uf_iter it = uf_each(r->doc); uf_next_member(&it, &name, &v);) {
        uf_str key = uf_text(name);
        for (uint32_t i = 0; i < sizeof members / sizeof *members; i++)
            if (key.len && *key.at == *members[i].name && uf_equals(key, members[i].name))
                *(uf_str *)((char *)r + members[i].at) = members[i].is_text ? uf_text(v) : v;
        if (uf_equals(key, "attempt")) r->attempt = uf_int_or(v, 1);
        if (uf_equals(key, "max_attempts")) r->max_attempts = uf_int_or(v, 1);
        if (uf_equals(key, "item_index")) r->item_index = uf_int_or(v, -1);
    }
    return UF_OK;
}

/* ---- endings ---- */

enum { UF_MESSAGE = 16384, UF_OUTPUT = 1 << 20 }; /* limits of the contract, in bytes */

/* uf_clip shortens a text to so many bytes without cutting a character. */
static inline uf_str uf_clip(uf_str s, uint32_t most) {
    if (s.len <= most) return s;
    while (most > 0 && (s.at[most] & 0xc0) == 0x80) most--;
    return (uf_str){s.at, most};
}

static inline void uf_log_text(int32_t level, uf_str message) {
    message = uf_clip(message, UF_MESSAGE);
    uf_import_log(level, message.at, message.len);
}

/* uf_key begins the member of an object, with a comma where one is due. */
static inline void uf_key(uf_buf *b, const char *name) {
    if (b->len && b->at[b->len - 1] != '{') uf_put(b, ",");
    uf_put_string(b, uf_s(name));
    uf_put(b, ":");
}

static inline void uf_put_text_member(uf_buf *b, const char *name, uf_str text) {
    uf_key(b, name);
    uf_put_string(b, text);
}

/* uf_end records how the step ends and returns the ending. The code is the
 * plugin's own and may be empty; only UF_RETRY may name a wait. */
static inline int32_t uf_end(int32_t kind, uf_str code, uf_str message, int64_t after_ms) {
    message = uf_clip(message, UF_MESSAGE);
    if (!code.len && after_ms <= 0 && !uf_is(message, '{')) {
        uf_import_fail(kind, message.at, message.len);
        return kind;
    }
    uf_buf b = uf_buffer(UF_MESSAGE);
    for (int broken = b.broken;; b.broken = 0, b.len = 0) {
        uf_put(&b, "{");
        if (code.len) uf_put_text_member(&b, "code", code);
        uf_put_text_member(&b, "message", message);
        if (after_ms > 0) uf_key(&b, "retry_after_ms"), uf_put_int(&b, after_ms);
        uf_put(&b, "}");
        if (!b.broken || broken) break;
        message = uf_clip(message, message.len / 2), code = uf_clip(code, code.len / 2); /* escapes take room */
    }
    uf_import_fail(kind, b.at, b.len);
    return kind;
}

/* uf_skip: there was nothing to do; outputs are kept. */
static inline int32_t uf_skip(const char *why) { return uf_end(UF_SKIP, uf_missing(), uf_s(why), 0); }

/* uf_retry: a transient failure; 0 leaves the wait to the step's policy. */
static inline int32_t uf_retry(const char *why, int64_t after_ms) { return uf_end(UF_RETRY, uf_missing(), uf_s(why), after_ms); }

/* uf_permanent: trying again is useless. */
static inline int32_t uf_permanent(const char *code, const char *why) { return uf_end(UF_PERMANENT, uf_s(code), uf_s(why), 0); }

/* uf_output_text, uf_output_int and uf_output_bool set an output to one value. */
static inline int32_t uf_output_text(const char *name, uf_str text) {
    uf_buf b = uf_buffer(text.len > UF_OUTPUT ? UF_OUTPUT : text.len * 6 + 2);
    uf_put_string(&b, text);
    return uf_output(name, &b);
}

static inline int32_t uf_output_int(const char *name, int64_t n) {
    uf_buf b = uf_buffer(24);
    uf_put_int(&b, n);
    return uf_output(name, &b);
}

static inline int32_t uf_output_bool(const char *name, int yes) {
    return uf_output_json(name, yes ? uf_s("true") : uf_s("false"));
}

/* uf_put_number puts a number with up to 15 significant digits, so that whole
 * ones and decimals of that size are what they were; null when it is not finite. */
static inline void uf_put_number(uf_buf *b, double v) {
    static const double powers[] = {1e256, 1e128, 1e64, 1e32, 1e16, 1e8, 1e4, 1e2, 1e1};
    double scaled = v < 0 ? -v : v;
    int exp = 0;
    if (!(scaled <= 1.7976931348623157e308)) {
        uf_put(b, "null");
        return;
    }
    if (scaled == 0 || (scaled < 9e15 && (double)(int64_t)v == v)) {
        uf_put_int(b, (int64_t)v);
        return;
    }
    for (int i = 0; i < 9; i++) {
        if (scaled / powers[i] >= 1e14) scaled /= powers[i], exp += 256 >> i;
        if (scaled * powers[i] < 1e15) scaled *= powers[i], exp -= 256 >> i;
    }
    uint64_t digits = (uint64_t)(scaled + 0.5);
    while (digits % 10 == 0) digits /= 10, exp++;
    if (v < 0) uf_put(b, "-");
    if (exp < 0 && exp > -18) { /* as 12.5 */
        uint64_t unit = 1;
        for (int i = exp; i < 0; i++) unit *= 10;
        uf_put_int(b, (int64_t)(digits / unit));
        uf_put(b, ".");
        for (digits %= unit, unit /= 10; unit; digits %= unit, unit /= 10) uf_put_int(b, (int64_t)(digits / unit));
        return;
    }
    uf_put_int(b, (int64_t)digits);
    if (exp) uf_put(b, "e"), uf_put_int(b, exp);
}

/* ---- services ---- */

/* Why a service said no. */
typedef struct {
    const char *op;
    int32_t number; /* UF_E_DENIED without a grant, UF_E_UNKNOWN_OP where the host does not offer the service */
    uf_str code, message, hint;
} uf_refusal;

/* uf_refused is the last refusal. */
static uf_refusal uf_refused;

static inline const char *uf_error_name(int32_t number) {
    const char *names[] = {"ok", "denied", "not_found", "too_large", "invalid", "unavailable", "cancelled", "quota",
        "unknown_op", "fault"};
    return number >= 0 && number <= 9 ? names[number] : "unknown";
}

/* uf_let_through ends the step by the last refusal: what asking again cannot
 * change is permanent. */
static inline int32_t uf_let_through(void) {
    int32_t n = uf_refused.number, kind = n == UF_E_DENIED || n == UF_E_INVALID || n == UF_E_UNKNOWN_OP ? UF_PERMANENT : UF_FAILED;
    uf_str why = uf_refused.message.len ? uf_refused.message : uf_s(uf_error_name(n));
    uf_buf b = uf_buffer(uf_strlen(uf_refused.op) + 2 + why.len);
    uf_put(&b, uf_refused.op);
    uf_put(&b, ": ");
    uf_put_raw(&b, why);
    return uf_end(kind, uf_s(uf_error_name(n)), (uf_str){b.at, b.len}, 0);
}

static inline int32_t uf_refuse(const char *op, int32_t number, const char *message) {
    uf_refused = (uf_refusal){op, number, uf_s(uf_error_name(number)), uf_s(message), uf_missing()};
    return -number;
}

/* uf_explain stores what the host says about a failed call. */
static inline int32_t uf_explain(const char *op, int32_t result) {
    uint32_t most = 3 * UF_MESSAGE;
    uf_refuse(op, -result, "");
    char *at = (char *)uf_alloc(most);
    int32_t n = at ? uf_import_call_read(at, 0, most) : 0;
    if (n <= 0) return result;
    uf_json said = uf_parse((uf_str){at, (uint32_t)n});
    uf_str code = uf_text(uf_get(said, "code"));
    if (code.len) uf_refused.code = code;
    uf_refused.message = uf_text(uf_get(said, "message"));
    uf_refused.hint = uf_text(uf_get(said, "hint"));
    return result;
}

/* uf_call_body calls a service whose request has a body beside its JSON. It
 * returns 0 and stores the response, or a negated error number with the reason
 * in uf_refused. */
static inline int32_t uf_call_body(const char *op, uf_str request, uf_str body, uf_str *response) {
    int32_t n = body.len ? uf_import_call_write(body.at, body.len) : 0;
    if (n >= 0) n = uf_import_call(op, uf_strlen(op), request.at, request.len);
    if (n < 0) return uf_explain(op, n);
    uint32_t size = (uint32_t)n, done = 0;
    char *at = (char *)uf_alloc(size);
    if (!at) return uf_refuse(op, UF_E_TOO_LARGE, "there is no memory for the response");
    while (done < size && (n = uf_import_call_read(at + done, done, size - done)) > 0) done += (uint32_t)n;
    if (n < 0) return uf_explain(op, n);
    *response = (uf_str){at, done};
    return 0;
}

/* uf_ask calls a service with what a buffer holds; its response is JSON. */
static inline int32_t uf_ask(const char *op, const uf_buf *request, uf_str body, uf_json *response) {
    uf_str text = uf_missing();
    if (request->broken) return uf_refuse(op, UF_E_TOO_LARGE, "there is no memory for the request");
    int32_t n = uf_call_body(op, (uf_str){request->at, request->len}, body, &text);
    *response = n < 0 ? uf_missing() : uf_parse(text);
    if (n == 0 && !uf_is(*response, '{')) return uf_refuse(op, UF_E_UNAVAILABLE, "the response is no object");
    return n;
}

/* uf_ask1 is uf_ask with one text for a request. */
static inline int32_t uf_ask1(const char *op, const char *name, uf_str text, uf_json *response) {
    uf_buf b = uf_buffer(text.len * 6 + 32);
    uf_put(&b, "{");
    uf_put_text_member(&b, name, text);
    uf_put(&b, "}");
    return uf_ask(op, &b, uf_missing(), response);
}

typedef struct { uf_str name, value; } uf_header;

/* A request that the host makes, where a grant covers its method and URL. */
typedef struct {
    uf_str method; /* empty for GET */
    uf_str url;
    const uf_header *headers;
    uint32_t header_count;
    uf_str body;
    int64_t timeout_ms; /* 0 for what the host allows */
    uf_str artifact;    /* where set, the body is stored as an artifact of this name */
} uf_http_request;

/* An answer; a status of 400 and more is one, too. */
typedef struct {
    int64_t status;
    uf_json headers; /* names in lower case, several values joined by ", " */
    uf_str body;
    uf_json artifact; /* the reference, where the request asked for one */
} uf_http_response;

/* uf_base64 decodes text; missing when it is malformed. */
static inline uf_str uf_base64(uf_str text) {
    char *dst = (char *)uf_alloc(text.len / 4 * 3 + 3);
    uint32_t n = 0, bits = 0, have = 0, i = 0;
    if (!dst) return uf_missing();
    for (; i < text.len && text.at[i] != '='; i++) {
        char c = text.at[i];
        uint32_t six = c >= 'A' && c <= 'Z' ? (uint32_t)(c - 'A') : c >= 'a' && c <= 'z' ? (uint32_t)(c - 'a') + 26
            : c >= '0' && c <= '9' ? (uint32_t)(c - '0') + 52 : c == '+' ? 62 : c == '/' ? 63 : 64;
        if (six == 64) return uf_missing();
        bits = bits << 6 | six, have += 6;
        if (have >= 8) have -= 8, dst[n++] = (char)(bits >> have);
    }
    return (uf_str){dst, n};
}

/* uf_http makes a request; 0, or a negated error number. */
static inline int32_t uf_http(const uf_http_request *r, uf_http_response *got) {
    uint32_t room = r->method.len + r->url.len + r->artifact.len;
    for (uint32_t i = 0; i < r->header_count; i++) room += r->headers[i].name.len + r->headers[i].value.len + 1;
    uf_buf b = uf_buffer(room * 6 + 128);
    uf_put(&b, "{");
    uf_put_text_member(&b, "method", r->method.len ? r->method : uf_s("GET"));
    uf_put_text_member(&b, "url", r->url);
    if (r->header_count) uf_key(&b, "headers"), uf_put(&b, "{");
    for (uint32_t i = 0; i < r->header_count; i++) {
        if (i) uf_put(&b, ",");
        uf_put_string(&b, r->headers[i].name);
        uf_put(&b, ":");
        uf_put_string(&b, r->headers[i].value);
    }
    if (r->header_count) uf_put(&b, "}");
    if (r->timeout_ms > 0) uf_key(&b, "timeout_ms"), uf_put_int(&b, r->timeout_ms);
    if (r->artifact.len) uf_put_text_member(&b, "artifact", r->artifact);
    uf_put(&b, "}");
    uf_json doc, base64;
    int32_t n = uf_ask("http.request", &b, r->body, &doc);
    if (n < 0) return n;
    got->status = uf_int_or(uf_get(doc, "status"), 0);
    got->headers = uf_get(doc, "headers"), got->artifact = uf_get(doc, "artifact");
    base64 = uf_get(doc, "body_base64");
    got->body = base64.len ? uf_base64(uf_text(base64)) : uf_text(uf_get(doc, "body"));
    return 0;
}

/* uf_state_get stores what the pipeline keeps at key: 1 when there is
 * something, 0 when there is nothing, or a negated error number. */
static inline int32_t uf_state_get(uf_str key, uf_json *value) {
    uf_json doc;
    int32_t n = uf_ask1("state.get", "key", key, &doc);
    *value = uf_get(doc, "value");
    return n == -UF_E_NOT_FOUND ? 0 : n < 0 ? n : 1;
}

/* uf_state_set keeps a value: later steps of the run see it at once, other
 * runs when this one succeeds. */
static inline int32_t uf_state_set(uf_str key, uf_json value) {
    uf_json doc;
    uf_buf b = uf_buffer(key.len * 6 + value.len + 32);
    uf_put(&b, "{");
    uf_put_text_member(&b, "key", key);
    uf_key(&b, "value");
    uf_put_raw(&b, value);
    uf_put(&b, "}");
    return uf_ask("state.set", &b, uf_missing(), &doc);
}

/* uf_state_delete drops what is kept at key, if anything is. */
static inline int32_t uf_state_delete(uf_str key) {
    uf_json doc;
    return uf_ask1("state.delete", "key", key, &doc);
}

/* uf_state_list stores the list of the keys that begin with prefix, in order. */
static inline int32_t uf_state_list(uf_str prefix, uf_json *keys) {
    uf_json doc;
    int32_t n = uf_ask1("state.list", "prefix", prefix, &doc);
    *keys = uf_get(doc, "keys");
    return n;
}

/* uf_secret stores a secret that the manifest exposes to the plugin. */
static inline int32_t uf_secret(uf_str name, uf_str *value) {
    uf_json doc;
    int32_t n = uf_ask1("secret.get", "name", name, &doc);
    *value = uf_text(uf_get(doc, "value"));
    return n;
}

/* uf_artifact_put stores content of at most 8 MiB and its reference, to be set
 * as an output. */
static inline int32_t uf_artifact_put(uf_str name, uf_str type, uf_str content, uf_json *ref) {
    uf_buf b = uf_buffer((name.len + type.len) * 6 + 32);
    uf_put(&b, "{");
    uf_put_text_member(&b, "name", name);
    if (type.len) uf_put_text_member(&b, "type", type);
    uf_put(&b, "}");
    return uf_ask("artifact.put", &b, content, ref);
}

/* uf_artifact_get stores the bytes of an artifact of at most 8 MiB. */
static inline int32_t uf_artifact_get(uf_json ref, uf_str *content) {
    return uf_call_body("artifact.get", ref, uf_missing(), content);
}

/* uf_artifact_read stores a slice of an artifact of any size. */
static inline int32_t uf_artifact_read(uf_json ref, int64_t offset, int64_t length, uf_str *slice) {
    uf_buf b = uf_buffer(ref.len + 80);
    if (!uf_is(ref, '{') || b.broken) return uf_refuse("artifact.get", UF_E_INVALID, "this is no reference");
    uf_put_raw(&b, (uf_str){ref.at, ref.len - 1});
    uf_key(&b, "offset"), uf_put_int(&b, offset);
    uf_key(&b, "length"), uf_put_int(&b, length);
    uf_put(&b, "}");
    return uf_call_body("artifact.get", (uf_str){b.at, b.len}, uf_missing(), slice);
}

/* uf_emit records an event and stores its id. The type is in reverse DNS,
 * "com.example.done"; subject and data may be missing. */
static inline int32_t uf_emit(uf_str type, uf_str subject, uf_json data, uf_str *id) {
    uf_json doc;
    uf_buf b = uf_buffer((type.len + subject.len) * 6 + data.len + 64);
    uf_put(&b, "{");
    uf_put_text_member(&b, "type", type);
    if (subject.len) uf_put_text_member(&b, "subject", subject);
    if (data.len) uf_key(&b, "data"), uf_put_raw(&b, data);
    uf_put(&b, "}");
    int32_t n = uf_ask("event.emit", &b, uf_missing(), &doc);
    *id = uf_text(uf_get(doc, "id"));
    return n;
}

/* What this host is and offers: ops is a list of names, limits an object. */
typedef struct { uf_str version, abi; uf_json ops, limits; } uf_host;

static inline int32_t uf_host_info(uf_host *host) {
    uf_json doc;
    uf_buf b = uf_buffer(2);
    uf_put(&b, "{}");
    int32_t n = uf_ask("host.info", &b, uf_missing(), &doc);
    host->version = uf_text(uf_get(doc, "version")), host->abi = uf_text(uf_get(doc, "abi"));
    host->ops = uf_get(doc, "ops"), host->limits = uf_get(doc, "limits");
    return n;
}

/* UF_DESCRIPTOR(text) puts the description of the plugin, a JSON object, into
 * the custom section where the host reads it without running the module. */
#define UF_DESCRIPTOR(text) \
    __asm__(".section .custom_section.uniflow.plugin,\"\",@\n.ascii " #text "\n.text\n")

#ifdef __cplusplus
}
#endif

#endif
