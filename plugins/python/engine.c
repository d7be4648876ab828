/* Python as a reactor: the module _uniflow, by which scripts reach the host, and
 * the entries that the host calls. */
#define PY_SSIZE_T_CLEAN
#include "Python.h"
#include "marshal.h"
#include "zlib.h"

#include <unistd.h>

#include "../script/host.h"

/* ---- the standard library, packed ---- */

typedef struct { const char *name; int package; unsigned offset, packed, size; } packed_module;

#include "library.inc"

static const packed_module *find_packed(const char *name) {
    size_t low = 0, high = sizeof packed_modules / sizeof *packed_modules;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, packed_modules[middle].name);
        if (order == 0) return &packed_modules[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

/* packed_kind(name) tells whether a module is packed: None, or whether it is a package. */
static PyObject *py_packed_kind(PyObject *self, PyObject *name) {
    const char *text = PyUnicode_AsUTF8(name);
    if (!text) return NULL;
    const packed_module *found = find_packed(text);
    if (!found) Py_RETURN_NONE;
    return PyBool_FromLong(found->package);
}

/* packed_code(name) returns the code of a packed module. */
static PyObject *py_packed_code(PyObject *self, PyObject *name) {
    const char *text = PyUnicode_AsUTF8(name);
    if (!text) return NULL;
    const packed_module *found = find_packed(text);
    if (!found) {
        PyErr_SetObject(PyExc_ImportError, name);
        return NULL;
    }
    Bytef *code = malloc(found->size);
    if (!code) return PyErr_NoMemory();
    uLongf size = found->size;
    PyObject *result = NULL;
    if (uncompress(code, &size, packed_library + found->offset, found->packed) == Z_OK)
        result = PyMarshal_ReadObjectFromString((const char *)code, (Py_ssize_t)size);
    else
        PyErr_SetObject(PyExc_ImportError, name);
    free(code);
    return result;
}

/* packed_names() returns the names of all packed modules. */
static PyObject *py_packed_names(PyObject *self, PyObject *none) {
    size_t n = sizeof packed_modules / sizeof *packed_modules;
    PyObject *names = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; names && i < n; i++) PyList_SET_ITEM(names, (Py_ssize_t)i, PyUnicode_FromString(packed_modules[i].name));
    return names;
}

/* ---- the host ---- */

static PyObject *py_input(PyObject *self, PyObject *none) {
    int32_t size = host_input_size();
    if (size < 0) return PyLong_FromLong(size);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes && host_input_read(PyBytes_AS_STRING(bytes), 0, (uint32_t)size) != size) {
        Py_DECREF(bytes);
        PyErr_SetString(PyExc_RuntimeError, "the host withheld the run context");
        return NULL;
    }
    return bytes;
}

static PyObject *py_output(PyObject *self, PyObject *args) {
    const char *name, *value;
    Py_ssize_t name_len, len;
    if (!PyArg_ParseTuple(args, "s#s#", &name, &name_len, &value, &len)) return NULL;
    return PyLong_FromLong(host_output(name, (uint32_t)name_len, value, (uint32_t)len));
}

static PyObject *py_log(PyObject *self, PyObject *args) {
    int level;
    const char *text;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "is#", &level, &text, &len)) return NULL;
    host_log(level, text, (uint32_t)len);
    Py_RETURN_NONE;
}

static PyObject *py_fail(PyObject *self, PyObject *args) {
    int kind;
    const char *text;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "is#", &kind, &text, &len)) return NULL;
    return PyLong_FromLong(host_fail(kind, text, (uint32_t)len));
}

static PyObject *py_progress(PyObject *self, PyObject *args) {
    int permille;
    const char *text;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "is#", &permille, &text, &len)) return NULL;
    return PyLong_FromLong(host_progress(permille, text, (uint32_t)len));
}

/* call(op, request, body=None) returns a number, 0 or negative, and the answer. */
static PyObject *py_call(PyObject *self, PyObject *args) {
    const char *op, *request;
    Py_ssize_t op_len, len;
    Py_buffer body = {0};
    if (!PyArg_ParseTuple(args, "s#s#|z*", &op, &op_len, &request, &len, &body)) return NULL;
    int32_t code = 0, size = 0;
    if (body.buf && body.len > 0) code = host_call_write(body.buf, (uint32_t)body.len);
    if (body.obj || body.buf) PyBuffer_Release(&body);
    if (code < 0) return Py_BuildValue("iy#", code, "", (Py_ssize_t)0);
    char *answer = host_answer(op, (size_t)op_len, request, (size_t)len, &code, &size);
    if (!answer) return PyErr_NoMemory();
    PyObject *result = Py_BuildValue("iy#", code, answer, (Py_ssize_t)size);
    free(answer);
    return result;
}

/* split(json) returns the elements of a list, or keys and values of an object by
 * turns, as bytes that are as they stand in the text. */
static PyObject *py_split(PyObject *self, PyObject *args) {
    const char *text, *at;
    Py_ssize_t size;
    size_t len;
    if (!PyArg_ParseTuple(args, "s#", &text, &size)) return NULL;
    PyObject *parts = PyList_New(0);
    const char *end = text + size, *p = json_blank(text, end);
    if (p < end && (*p == '{' || *p == '[')) p++;
    while (parts && json_take(&p, end, &at, &len)) {
        PyObject *part = PyBytes_FromStringAndSize(at, (Py_ssize_t)len);
        if (!part || PyList_Append(parts, part) < 0) Py_CLEAR(parts);
        Py_XDECREF(part);
    }
    return parts;
}

/* write(fd, bytes) writes to standard output or standard error. */
static PyObject *py_write(PyObject *self, PyObject *args) {
    int fd;
    const char *at;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "is#", &fd, &at, &len)) return NULL;
    while (len > 0) {
        ssize_t n = write(fd, at, (size_t)len);
        if (n <= 0) break;
        at += n, len -= n;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"input", py_input, METH_NOARGS, NULL},
    {"output", py_output, METH_VARARGS, NULL},
    {"log", py_log, METH_VARARGS, NULL},
    {"fail", py_fail, METH_VARARGS, NULL},
    {"progress", py_progress, METH_VARARGS, NULL},
    {"call", py_call, METH_VARARGS, NULL},
    {"split", py_split, METH_VARARGS, NULL},
    {"write", py_write, METH_VARARGS, NULL},
    {"packed_kind", py_packed_kind, METH_O, NULL},
    {"packed_code", py_packed_code, METH_O, NULL},
    {"packed_names", py_packed_names, METH_NOARGS, NULL},
    {0},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_uniflow", NULL, -1, methods};

PyMODINIT_FUNC PyInit__uniflow(void) { return PyModule_Create(&definition); }

/* ---- entries ---- */

static PyObject *driver; /* the frozen module that runs scripts, once Python is up */

static int set(PyConfig *config, wchar_t **field, const wchar_t *text) {
    return PyStatus_Exception(PyConfig_SetString(config, field, text));
}

static PyStatus configure(PyConfig *config) {
    config->site_import = 0;
    config->write_bytecode = 0;
    config->install_signal_handlers = 0;
    config->pathconfig_warnings = 0;
    config->use_hash_seed = 1;
    config->hash_seed = 0;
    config->use_frozen_modules = 1;
    config->module_search_paths_set = 1;
    config->parse_argv = 0;
    if (set(config, &config->program_name, L"python") || set(config, &config->executable, L"") ||
        set(config, &config->base_executable, L"") || set(config, &config->prefix, L"") ||
        set(config, &config->base_prefix, L"") || set(config, &config->exec_prefix, L"") ||
        set(config, &config->base_exec_prefix, L"") || set(config, &config->platlibdir, L"lib") || set(config, &config->stdio_encoding, L"utf-8") ||
        set(config, &config->stdio_errors, L"backslashreplace"))
        return PyStatus_NoMemory();
    return Py_InitializeFromConfig(config);
}

/* boot starts Python; NULL or what was wrong. */
static const char *boot(void) {
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status)) return status.err_msg;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    status = configure(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) return status.err_msg ? status.err_msg : "no memory";
    driver = PyImport_ImportModule("_uniflow_driver");
    if (driver) return NULL;
    PyErr_Print();
    return "the driver of scripts cannot be imported";
}

#define BROKEN INT32_MIN /* no number of a script */

/* drive calls a function of the driver and returns its number; BROKEN on an error. */
static long drive(const char *function) {
    PyObject *result = PyObject_CallMethod(driver, function, NULL);
    long n = result ? PyLong_AsLong(result) : BROKEN;
    Py_XDECREF(result);
    if (!PyErr_Occurred()) return n;
    PyErr_Print();
    return BROKEN;
}

HOST_EXPORT(uniflow_abi_v1) void uniflow_abi_v1(void) {}

HOST_EXPORT(uniflow_warm) void uniflow_warm(void) {
    if (driver || boot()) return;
    drive("warm");
    host_reserve(4 << 20);
}

HOST_EXPORT(uniflow_reseed) void uniflow_reseed(void) {
    if (driver) drive("reseed");
}

HOST_EXPORT(uniflow_run) int32_t uniflow_run(void) {
    const char *wrong = driver ? NULL : boot();
    if (wrong) {
        host_fail(HOST_FAILED, wrong, (uint32_t)strlen(wrong));
        return HOST_FAILED;
    }
    long kind = drive("run");
    return kind == BROKEN ? HOST_FAILED : (int32_t)kind;
}
