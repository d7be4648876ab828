/* What the engines of scripts share: the host's functions, and a look at JSON
 * that keeps the bytes as they are. See docs/ABI.md. */
#ifndef SCRIPT_HOST_H
#define SCRIPT_HOST_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_OK = 0, HOST_FAILED = 1, HOST_SKIP = 2, HOST_RETRY = 3, HOST_PERMANENT = 4 };
enum { HOST_TOO_LARGE = 3 };
enum { HOST_DEBUG = 1, HOST_INFO = 2, HOST_WARN = 3, HOST_ERROR = 4 };

#define HOST_IMPORT(name) __attribute__((import_module("uniflow"), import_name(#name)))
#define HOST_EXPORT(name) __attribute__((export_name(#name), visibility("default")))

HOST_IMPORT(input_size) int32_t host_input_size(void);
HOST_IMPORT(input_read) int32_t host_input_read(void *dst, uint32_t off, uint32_t len);
HOST_IMPORT(output) int32_t host_output(const char *name, uint32_t name_len, const char *value, uint32_t len);
HOST_IMPORT(log) void host_log(int32_t level, const char *msg, uint32_t len);
HOST_IMPORT(fail) int32_t host_fail(int32_t kind, const char *msg, uint32_t len);
HOST_IMPORT(progress) int32_t host_progress(int32_t permille, const char *msg, uint32_t len);
HOST_IMPORT(call) int32_t host_call(const char *op, uint32_t op_len, const char *req, uint32_t len);
HOST_IMPORT(call_read) int32_t host_call_read(void *dst, uint32_t off, uint32_t len);
HOST_IMPORT(call_write) int32_t host_call_write(const void *src, uint32_t len);

/* The most that a message to the host may have. */
#define HOST_MESSAGE 16384

/* host_answer calls a service and returns what it answered, or what was wrong:
 * allocated, size in *size, *code 0 or negative. NULL when there is no room. */
static inline char *host_answer(const char *op, size_t op_len, const char *req, size_t len, int32_t *code, int32_t *size) {
    int32_t n = host_call(op, (uint32_t)op_len, req, (uint32_t)len);
    *code = n < 0 ? n : 0;
    /* A failed call says nothing of the size of its answer; that is small. */
    int32_t room = n < 0 ? HOST_MESSAGE * 4 : n;
    char *at = malloc((size_t)room + 1);
    if (!at) return NULL;
    int32_t got = host_call_read(at, 0, (uint32_t)room);
    *size = got < 0 ? 0 : got;
    return at;
}

/* host_reserve leaves room in the heap that attempts need not ask for: an
 * instance whose memory grew is not used again. */
static inline void host_reserve(size_t n) {
    void *volatile at = malloc(n);
    free(at);
}

/* ---- JSON as it stands ---- */

#define JSON_DEPTH 1024

static inline const char *json_blank(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

static inline const char *json_string_end(const char *p, const char *end) {
    for (p++; p < end; p++) {
        if (*p == '"') return p + 1;
        if (*p == '\\') p++;
    }
    return NULL;
}

static inline int json_ends_scalar(char c) {
    return c == ',' || c == '}' || c == ']' || c == ':' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* json_end returns the end of the value that starts at p, or NULL. */
static inline const char *json_end(const char *p, const char *end) {
    if (p >= end) return NULL;
    if (*p == '"') return json_string_end(p, end);
    if (*p != '{' && *p != '[') {
        const char *start = p;
        while (p < end && !json_ends_scalar(*p)) p++;
        return p > start ? p : NULL;
    }
    for (uint32_t depth = 0; p < end;) {
        if (*p == '"') {
            if (!(p = json_string_end(p, end))) return NULL;
            continue;
        }
        if ((*p == '{' || *p == '[') && ++depth > JSON_DEPTH) return NULL;
        if ((*p == '}' || *p == ']') && --depth == 0) return p + 1;
        p++;
    }
    return NULL;
}

/* json_take stores the next value of the inside of a list or an object (keys
 * count as values) and moves *p behind it; 0 at the end. */
static inline int json_take(const char **p, const char *end, const char **at, size_t *len) {
    const char *start = json_blank(*p, end), *stop = json_end(start, end);
    if (!stop) return 0;
    *at = start;
    *len = (size_t)(stop - start);
    *p = json_blank(stop, end);
    if (*p < end && (**p == ',' || **p == ':')) ++*p;
    return 1;
}

#endif
