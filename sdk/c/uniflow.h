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

/* How a step ends; the numbers of the contract. */
enum { UF_OK = 0, UF_FAILED = 1, UF_SKIP = 2, UF_RETRY = 3, UF_PERMANENT = 4 };

/* Levels of uf_log. */
enum { UF_TRACE = 0, UF_DEBUG = 1, UF_INFO = 2, UF_WARN = 3, UF_ERROR = 4 };

/* Error numbers of host calls, which return them negated. */
enum {
    UF_E_DENIED = 1, UF_E_NOT_FOUND = 2, UF_E_TOO_LARGE = 3, UF_E_INVALID = 4, UF_E_UNAVAILABLE = 5,
    UF_E_CANCELLED = 6, UF_E_QUOTA = 7, UF_E_UNKNOWN_OP = 8, UF_E_FAULT = 9
};

#define UF_DEPTH 64 /* nesting of JSON that is read */

#define UF_IMPORT(name) __attribute__((import_module("uniflow"), import_name(#name)))
#define UF_EXPORT(name) __attribute__((export_name(#name)))

UF_IMPORT(input_size) int32_t uf_import_input_size(void);
UF_IMPORT(input_read) int32_t uf_import_input_read(void *dst, uint32_t off, uint32_t len);
UF_IMPORT(output) int32_t uf_import_output(const char *name, uint32_t name_len, const char *value, uint32_t len);
UF_IMPORT(log) void uf_import_log(int32_t level, const char *msg, uint32_t len);
UF_IMPORT(fail) int32_t uf_import_fail(int32_t kind, const char *msg, uint32_t len);
UF_IMPORT(progress) int32_t uf_import_progress(int32_t permille, const char *msg, uint32_t len);
UF_IMPORT(call) int32_t uf_import_call(const char *op, uint32_t op_len, const char *req, uint32_t len);
UF_IMPORT(call_read) int32_t uf_import_call_read(void *dst, uint32_t off, uint32_t len);
UF_IMPORT(call_write) int32_t uf_import_call_write(const void *src, uint32_t len);

/* The mark of a reactor; never called. */
UF_EXPORT(uniflow_abi_v1) void uniflow_abi_v1(void) {}

/* UF_ENTRY(name) { ... } defines the entry that a manifest calls by
 * function = "name". It returns UF_OK or another ending. */
#define UF_ENTRY(name)                              \
    static int32_t uf_entry_##name(void);           \
    UF_EXPORT(name) int32_t name(void) {            \
        uf_arena_next = 0;                          \
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

extern unsigned char __heap_base;
static uintptr_t uf_arena_next;

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
    char *dst = uf_alloc(v.len);
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
    char *at = uf_alloc(cap);
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
    char *at = size > 0 ? uf_alloc((uint32_t)size) : NULL;
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
    char *at = uf_alloc((uint32_t)size);
    if (!at) return -UF_E_TOO_LARGE;
    int32_t n = uf_import_call_read(at, 0, (uint32_t)size);
    if (n < 0) return n;
    *response = (uf_str){at, (uint32_t)n};
    return 0;
}

/* UF_DESCRIPTOR(text) puts the description of the plugin, a JSON object, into
 * the custom section where the host reads it without running the module. */
#define UF_DESCRIPTOR(text) \
    __asm__(".section .custom_section.uniflow.plugin,\"\",@\n.ascii " #text "\n.text\n")

#endif
