/* step.h: the step that is measured, for every front end in C. It reads one
 * run context, sums up the numbers in with.values and writes what it found as
 * JSON. No libc, no memory of its own; every read is bounded by the document. */
#ifndef STEP_H
#define STEP_H

#include <stdint.h>

enum { STEP_ANSWER = 160 }; /* bytes that an answer fits into */

typedef struct { const char *at, *end; } step_text;

static int step_peek(step_text *t) {
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t' || *t->at == '\n' || *t->at == '\r')) t->at++;
    return t->at < t->end ? *t->at : 0;
}

static int step_take(step_text *t, char c) { return step_peek(t) == c ? (t->at++, 1) : 0; }

static int step_skip_string(step_text *t) {
    if (!step_take(t, '"')) return 0;
    for (; t->at < t->end; t->at++) {
        if (*t->at == '"') return t->at++, 1;
        if (*t->at == '\\') t->at++;
    }
    return 0;
}

/* step_skip passes over one value; brackets are counted, not matched. */
static int step_skip(step_text *t) {
    for (int depth = 0; t->at < t->end;) {
        int c = step_peek(t);
        if (c == '"') {
            if (!step_skip_string(t)) return 0;
        } else if ((c == ',' || c == '}' || c == ']') && !depth) {
            return 1;
        } else {
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
            t->at++;
        }
    }
    return 0;
}

/* step_find moves from the start of an object to the value of a member. */
static int step_find(step_text *t, const char *name) {
    if (!step_take(t, '{')) return 0;
    do {
        step_peek(t);
        const char *key = t->at + 1, *want = name;
        if (!step_skip_string(t)) return 0;
        while (*want && *want == *key) want++, key++;
        int found = !*want && *key == '"';
        if (!step_take(t, ':')) return 0;
        if (found) return 1;
        if (!step_skip(t)) return 0;
    } while (step_take(t, ','));
    return 0;
}

static int step_integer(step_text *t, int64_t *n) {
    int minus = step_take(t, '-'), digits = 0;
    for (*n = 0; t->at < t->end && *t->at >= '0' && *t->at <= '9' && digits < 15; t->at++, digits++)
        *n = *n * 10 + (*t->at - '0');
    if (minus) *n = -*n;
    return digits > 0;
}

static char *step_put(char *out, const char *name, int64_t n) {
    char digits[21];
    int i = sizeof digits;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    while (*name) *out++ = *name++;
    do digits[--i] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (n < 0) digits[--i] = '-';
    while (i < (int)sizeof digits) *out++ = digits[i++];
    return out;
}

/* step writes the answer and returns its length, or 0 for a document that it
 * cannot use. */
static uint32_t step(const char *doc, uint32_t len, char out[STEP_ANSWER]) {
    step_text t = {doc, doc + len};
    int64_t n, count = 0, sum = 0, min = 0, max = 0;
    if (!step_find(&t, "with") || !step_find(&t, "values") || !step_take(&t, '[')) return 0;
    do {
        if (!step_integer(&t, &n)) return 0;
        if (!count || n < min) min = n;
        if (!count || n > max) max = n;
        count++, sum += n;
    } while (step_take(&t, ','));
    if (!step_take(&t, ']')) return 0;
    char *end = step_put(out, "{\"count\":", count);
    end = step_put(end, ",\"sum\":", sum);
    end = step_put(end, ",\"min\":", min);
    end = step_put(end, ",\"max\":", max);
    end = step_put(end, ",\"mean\":", sum / count);
    *end++ = '}';
    return (uint32_t)(end - out);
}

#endif
