/* JavaScript as a reactor: the module _uniflow, by which the driver reaches the
 * host, a loader of modules, and the entries that the host calls. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../script/host.h"
#include "quickjs.h"

static const char driver_source[] = {
#embed "driver.js" suffix(, 0)
};
static const char uniflow_source[] = {
#embed "uniflow.js" suffix(, 0)
};

static JSContext *js;
static JSValue driver; /* the namespace of the module that runs scripts */

/* ---- memory ---- */

static void *js_alloc(JSMallocState *s, size_t size) {
    void *at = malloc(size);
    if (at) s->malloc_count++, s->malloc_size += malloc_usable_size(at) + 8;
    return at;
}

static void js_release(JSMallocState *s, void *at) {
    if (!at) return;
    s->malloc_count--, s->malloc_size -= malloc_usable_size(at) + 8;
    free(at);
}

static void *js_resize(JSMallocState *s, void *at, size_t size) {
    if (!at) return size ? js_alloc(s, size) : NULL;
    if (!size) return js_release(s, at), NULL;
    size_t before = malloc_usable_size(at);
    void *moved = realloc(at, size);
    if (moved) s->malloc_size += malloc_usable_size(moved) - before;
    return moved;
}

static size_t js_size(const void *at) { return malloc_usable_size((void *)at); }

static const JSMallocFunctions allocator = {js_alloc, js_release, js_resize, js_size};

/* ---- the host ---- */

typedef struct { const char *at; size_t len; } text;

/* take returns the text of an argument, which the caller frees; at is NULL after an exception. */
static text take(JSContext *ctx, JSValueConst value) {
    text t;
    t.at = JS_ToCStringLen(ctx, &t.len, value);
    return t;
}

/* bytes returns the bytes of an ArrayBuffer or a view of one; at is NULL when it is neither. */
static text bytes(JSContext *ctx, JSValueConst value) {
    size_t offset = 0, len = 0, size = 0;
    JSValue buffer = JS_GetTypedArrayBuffer(ctx, value, &offset, &len, NULL);
    if (JS_IsException(buffer)) {
        JS_FreeValue(ctx, JS_GetException(ctx));
        uint8_t *at = JS_GetArrayBuffer(ctx, &size, value);
        if (!at) JS_FreeValue(ctx, JS_GetException(ctx));
        return (text){(const char *)at, size};
    }
    uint8_t *at = JS_GetArrayBuffer(ctx, &size, buffer);
    JS_FreeValue(ctx, buffer);
    return at ? (text){(const char *)at + offset, len} : (text){"", 0};
}

static JSValue new_bytes(JSContext *ctx, const void *at, size_t len) {
    JSValue buffer = JS_NewArrayBufferCopy(ctx, at, len);
    JSValueConst args[] = {buffer, JS_UNDEFINED, JS_UNDEFINED};
    JSValue array = JS_NewTypedArray(ctx, 3, args, JS_TYPED_ARRAY_UINT8);
    JS_FreeValue(ctx, buffer);
    return array;
}

#define NATIVE(name) static JSValue js_##name(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv)

/* input() returns the run context as bytes. */
NATIVE(input) {
    int32_t size = host_input_size();
    uint8_t *at = size >= 0 ? malloc((size_t)size + 1) : NULL;
    if (!at || host_input_read(at, 0, (uint32_t)size) != size) {
        free(at);
        return JS_ThrowInternalError(ctx, "the host withheld the run context");
    }
    JSValue result = new_bytes(ctx, at, (size_t)size);
    free(at);
    return result;
}

NATIVE(output) {
    text name = take(ctx, argv[0]), value = take(ctx, argv[1]);
    JSValue result = JS_EXCEPTION;
    if (name.at && value.at) result = JS_NewInt32(ctx, host_output(name.at, (uint32_t)name.len, value.at, (uint32_t)value.len));
    JS_FreeCString(ctx, name.at);
    JS_FreeCString(ctx, value.at);
    return result;
}

/* message hands a number and a text to one of the host's functions. */
static JSValue message(JSContext *ctx, JSValueConst *argv, int what) {
    int32_t number = 0, result = 0;
    text t = take(ctx, argv[1]);
    if (!t.at || JS_ToInt32(ctx, &number, argv[0])) return JS_FreeCString(ctx, t.at), JS_EXCEPTION;
    if (what == 0) host_log(number, t.at, (uint32_t)t.len);
    else if (what == 1) result = host_fail(number, t.at, (uint32_t)t.len);
    else result = host_progress(number, t.at, (uint32_t)t.len);
    JS_FreeCString(ctx, t.at);
    return JS_NewInt32(ctx, result);
}

NATIVE(log) { return message(ctx, argv, 0); }
NATIVE(fail) { return message(ctx, argv, 1); }
NATIVE(progress) { return message(ctx, argv, 2); }

/* call(op, request, body) returns [number, answer], the answer as bytes. */
NATIVE(call) {
    text op = take(ctx, argv[0]), request = take(ctx, argv[1]);
    JSValue result = JS_EXCEPTION;
    if (op.at && request.at) {
        text body = argc > 2 && JS_IsObject(argv[2]) ? bytes(ctx, argv[2]) : (text){NULL, 0};
        int32_t code = body.len ? host_call_write(body.at, (uint32_t)body.len) : 0, size = 0;
        char *answer = code < 0 ? malloc(1) : host_answer(op.at, op.len, request.at, request.len, &code, &size);
        result = answer ? JS_NewArray(ctx) : JS_ThrowOutOfMemory(ctx);
        if (answer) {
            JS_SetPropertyUint32(ctx, result, 0, JS_NewInt32(ctx, code));
            JS_SetPropertyUint32(ctx, result, 1, new_bytes(ctx, answer, (size_t)size));
        }
        free(answer);
    }
    JS_FreeCString(ctx, op.at);
    JS_FreeCString(ctx, request.at);
    return result;
}

/* split(json) returns the elements of a list, or keys and values of an object by
 * turns, each as it stands in the text. */
NATIVE(split) {
    text json = take(ctx, argv[0]);
    if (!json.at) return JS_EXCEPTION;
    JSValue parts = JS_NewArray(ctx);
    const char *end = json.at + json.len, *p = json_blank(json.at, end), *at;
    size_t len;
    if (p < end && (*p == '{' || *p == '[')) p++;
    for (uint32_t i = 0; json_take(&p, end, &at, &len); i++)
        JS_SetPropertyUint32(ctx, parts, i, JS_NewStringLen(ctx, at, len));
    JS_FreeCString(ctx, json.at);
    return parts;
}

/* encode(text) returns the bytes of a text in UTF-8, decode(bytes) the text. */
NATIVE(encode) {
    text t = take(ctx, argv[0]);
    if (!t.at) return JS_EXCEPTION;
    JSValue result = new_bytes(ctx, t.at, t.len);
    JS_FreeCString(ctx, t.at);
    return result;
}

NATIVE(decode) {
    text b = bytes(ctx, argv[0]);
    if (!b.at) return JS_ThrowTypeError(ctx, "bytes are wanted: an ArrayBuffer or a view of one");
    return JS_NewStringLen(ctx, b.at, b.len);
}

NATIVE(random) {
    text b = bytes(ctx, argv[0]);
    for (size_t done = 0; b.at && done < b.len;) {
        size_t n = b.len - done < 256 ? b.len - done : 256;
        if (getentropy((char *)b.at + done, n)) return JS_ThrowInternalError(ctx, "no random bytes");
        done += n;
    }
    return JS_UNDEFINED;
}

NATIVE(sleep) {
    double ms = 0;
    if (JS_ToFloat64(ctx, &ms, argv[0])) return JS_EXCEPTION;
    struct timespec wait = {(time_t)(ms / 1000), (long)((ms - (double)(time_t)(ms / 1000) * 1000) * 1e6)};
    if (ms > 0) nanosleep(&wait, NULL);
    return JS_UNDEFINED;
}

NATIVE(env) {
    text name = take(ctx, argv[0]);
    const char *value = name.at ? getenv(name.at) : NULL;
    JS_FreeCString(ctx, name.at);
    return value ? JS_NewString(ctx, value) : JS_NULL;
}

static char *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *at = NULL;
    size_t room = 0, n = 0;
    do {
        if (n + 1 >= room) {
            char *more = realloc(at, room = room ? room * 2 : 16384);
            if (!more) break;
            at = more;
        }
        *size = n;
    } while ((n = fread(at + *size, 1, room - *size - 1, f)), n += *size, n > *size);
    fclose(f);
    if (at) at[*size] = 0;
    return at;
}

/* file(path) returns the bytes of a file, null where there is none. */
NATIVE(file) {
    text path = take(ctx, argv[0]);
    size_t size = 0;
    struct stat status;
    char *at = path.at && !stat(path.at, &status) && S_ISREG(status.st_mode) ? read_file(path.at, &size) : NULL;
    JSValue result = at ? new_bytes(ctx, at, size) : JS_NULL;
    free(at);
    JS_FreeCString(ctx, path.at);
    return result;
}

static const JSCFunctionListEntry natives[] = {
    JS_CFUNC_DEF("input", 0, js_input), JS_CFUNC_DEF("output", 2, js_output), JS_CFUNC_DEF("log", 2, js_log),
    JS_CFUNC_DEF("fail", 2, js_fail), JS_CFUNC_DEF("progress", 2, js_progress), JS_CFUNC_DEF("call", 3, js_call),
    JS_CFUNC_DEF("split", 1, js_split), JS_CFUNC_DEF("encode", 1, js_encode), JS_CFUNC_DEF("decode", 1, js_decode),
    JS_CFUNC_DEF("random", 1, js_random), JS_CFUNC_DEF("sleep", 1, js_sleep), JS_CFUNC_DEF("env", 1, js_env),
    JS_CFUNC_DEF("file", 1, js_file),
};

#define NATIVES (int)(sizeof natives / sizeof *natives)

static int init_natives(JSContext *ctx, JSModuleDef *m) { return JS_SetModuleExportList(ctx, m, natives, NATIVES); }

/* ---- modules ---- */

/* find_module has the driver say which file a name means; names of the engine's own modules stand for themselves. */
static char *find_module(JSContext *ctx, const char *base, const char *name, void *opaque) {
    if (!strcmp(name, "uniflow") || !strcmp(name, "_uniflow") || !strcmp(base, "<driver>")) return js_strdup(ctx, name);
    JSValue find = JS_GetPropertyStr(ctx, driver, "find");
    JSValue args[] = {JS_NewString(ctx, base), JS_NewString(ctx, name)};
    JSValue path = JS_Call(ctx, find, JS_UNDEFINED, 2, (JSValueConst *)args);
    char *result = NULL;
    const char *at = JS_IsException(path) ? NULL : JS_ToCString(ctx, path);
    if (at) result = js_strdup(ctx, at);
    JS_FreeCString(ctx, at);
    JS_FreeValue(ctx, path);
    JS_FreeValue(ctx, args[0]);
    JS_FreeValue(ctx, args[1]);
    JS_FreeValue(ctx, find);
    return result;
}

static JSModuleDef *compile(JSContext *ctx, const char *source, size_t size, const char *name) {
    JSValue code = JS_Eval(ctx, source, size, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(code)) return NULL;
    JSModuleDef *m = JS_VALUE_GET_PTR(code);
    JSValue meta = JS_GetImportMeta(ctx, m);
    JS_DefinePropertyValueStr(ctx, meta, "url", JS_NewString(ctx, name), JS_PROP_C_W_E);
    JS_FreeValue(ctx, meta);
    JS_FreeValue(ctx, code); /* the context holds the module */
    return m;
}

/* A JSON file is a module whose default export is its value. */
static int init_json(JSContext *ctx, JSModuleDef *m) {
    JSAtom name = JS_GetModuleName(ctx, m);
    const char *path = JS_AtomToCString(ctx, name);
    size_t size = 0;
    char *at = path ? read_file(path, &size) : NULL;
    JSValue value = at ? JS_ParseJSON(ctx, at, size, path) : JS_ThrowReferenceError(ctx, "cannot read %s", path);
    free(at);
    JS_FreeCString(ctx, path);
    JS_FreeAtom(ctx, name);
    return JS_IsException(value) ? -1 : JS_SetModuleExport(ctx, m, "default", value);
}

static JSModuleDef *load_module(JSContext *ctx, const char *name, void *opaque) {
    if (!strcmp(name, "uniflow")) return compile(ctx, uniflow_source, sizeof uniflow_source - 1, name);
    size_t size = 0, len = strlen(name);
    JSModuleDef *m = NULL;
    if (!strcmp(name, "_uniflow")) {
        m = JS_NewCModule(ctx, name, init_natives);
        if (m) JS_AddModuleExportList(ctx, m, natives, NATIVES);
        return m;
    }
    if (len > 5 && !strcmp(name + len - 5, ".json")) {
        m = JS_NewCModule(ctx, name, init_json);
        if (m) JS_AddModuleExport(ctx, m, "default");
        return m;
    }
    char *source = read_file(name, &size);
    if (!source) {
        JS_ThrowReferenceError(ctx, "cannot read the module %s", name);
        return NULL;
    }
    m = compile(ctx, source, size, name);
    free(source);
    return m;
}

/* ---- entries ---- */

/* complain logs an exception of the driver itself. */
static void complain(void) {
    JSValue error = JS_GetException(js);
    const char *at = JS_ToCString(js, error);
    if (at) host_log(HOST_ERROR, at, (uint32_t)strlen(at));
    JS_FreeCString(js, at);
    JS_FreeValue(js, error);
}

#define BROKEN INT32_MIN /* no number of a script */

/* settle runs what waits until a promise has its value; BROKEN on an error. */
static int32_t settle(JSValue promise) {
    JSContext *ctx;
    JSValue wait = JS_GetPropertyStr(js, driver, "wait");
    int32_t number = BROKEN;
    while (JS_PromiseState(js, promise) == JS_PROMISE_PENDING) {
        if (JS_ExecutePendingJob(JS_GetRuntime(js), &ctx) > 0) continue;
        JSValue more = JS_Call(js, wait, JS_UNDEFINED, 0, NULL); /* for a timer */
        int go_on = JS_ToBool(js, more);
        JS_FreeValue(js, more);
        if (go_on <= 0) break;
    }
    JSValue result = JS_PromiseResult(js, promise);
    if (JS_PromiseState(js, promise) == JS_PROMISE_FULFILLED) JS_ToInt32(js, &number, result);
    else if (JS_PromiseState(js, promise) == JS_PROMISE_REJECTED) JS_Throw(js, JS_DupValue(js, result)), complain();
    JS_FreeValue(js, result);
    JS_FreeValue(js, wait);
    JS_FreeValue(js, promise);
    return number;
}

static int32_t drive(const char *function) {
    JSValue f = JS_GetPropertyStr(js, driver, function);
    JSValue promise = JS_Call(js, f, JS_UNDEFINED, 0, NULL);
    JS_FreeValue(js, f);
    if (JS_IsException(promise)) return complain(), BROKEN;
    return settle(promise);
}

/* boot starts the engine; 0 when that cannot be. */
static int boot(void) {
    JSRuntime *rt = JS_NewRuntime2(&allocator, NULL);
    js = rt ? JS_NewContext(rt) : NULL;
    if (!js) return 0;
    JS_SetMaxStackSize(rt, 768 << 10);
    JS_SetModuleLoaderFunc(rt, find_module, load_module, NULL);
    JSModuleDef *m = compile(js, driver_source, sizeof driver_source - 1, "<driver>");
    JSValue done = m ? JS_EvalFunction(js, JS_DupValue(js, JS_MKPTR(JS_TAG_MODULE, m))) : JS_EXCEPTION;
    JSContext *ctx;
    while (JS_ExecutePendingJob(rt, &ctx) > 0) {}
    if (JS_IsException(done) || JS_PromiseState(js, done) != JS_PROMISE_FULFILLED) {
        if (!JS_IsException(done)) JS_Throw(js, JS_PromiseResult(js, done));
        complain();
        return 0;
    }
    JS_FreeValue(js, done);
    driver = JS_GetModuleNamespace(js, m);
    return 1;
}

HOST_EXPORT(uniflow_abi_v1) void uniflow_abi_v1(void) {}

HOST_EXPORT(uniflow_warm) void uniflow_warm(void) {
    if (js || !boot()) return;
    drive("warm");
    JS_RunGC(JS_GetRuntime(js));
    host_reserve(2 << 20);
}

HOST_EXPORT(uniflow_reseed) void uniflow_reseed(void) {
    if (!JS_IsUninitialized(driver) && js) drive("reseed");
}

HOST_EXPORT(uniflow_run) int32_t uniflow_run(void) {
    if (!js && !boot()) {
        static const char why[] = "the engine cannot start";
        host_fail(HOST_FAILED, why, sizeof why - 1);
        return HOST_FAILED;
    }
    int32_t kind = drive("run");
    return kind == BROKEN ? HOST_FAILED : kind;
}
