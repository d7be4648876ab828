/* The modules of the engine that are written in C, its modules that are frozen,
 * and the paths that it has instead of looking for them. */
#include "Python.h"
#include "pycore_import.h"
#include "pycore_initconfig.h"
#include "pycore_pathconfig.h"

#define MODULES(X)                                                                                          \
    X(_abc) X(_bisect) X(_blake2) X(_codecs) X(_collections) X(_contextvars) X(_csv)            \
    X(_datetime) X(_decimal) X(_elementtree) X(_functools) X(_heapq) X(_io) X(_json) X(_locale)             \
    X(_md5) X(_opcode) X(_operator) X(_pickle) X(_queue) X(_random) X(_sha1) X(_sha256) X(_sha3)            \
    X(_sha512) X(_signal) X(_sre) X(_stat) X(_statistics) X(_struct) X(_symtable) X(_thread)                \
    X(_tracemalloc) X(_typing) X(_uniflow) X(_weakref) X(_zoneinfo) X(array) X(atexit) X(binascii)          \
    X(cmath) X(errno) X(faulthandler) X(itertools) X(math) X(posix) X(pyexpat) X(time) X(unicodedata)       \
    X(zlib) X(_ast) X(_imp) X(_string) X(_tokenize) X(gc)

#define DECLARE(name) extern PyObject *PyInit_##name(void);
MODULES(DECLARE)
extern PyObject *PyMarshal_Init(void);
extern PyObject *_PyWarnings_Init(void);

#define ENTRY(name) {#name, PyInit_##name},
struct _inittab _PyImport_Inittab[] = {
    MODULES(ENTRY)
    {"marshal", PyMarshal_Init},
    {"_warnings", _PyWarnings_Init},
    {"builtins", NULL},
    {"sys", NULL},
    {0, 0},
};

/* What is needed before the engine can unpack the rest of the library. */
#include "frozen.inc"

static const struct _frozen none[] = {{0}};
static const struct _module_alias aliases[] = {
    {"_frozen_importlib", "importlib._bootstrap"},
    {"_frozen_importlib_external", "importlib._bootstrap_external"},
    {"os.path", "posixpath"},
    {0, 0},
};
const struct _frozen *_PyImport_FrozenBootstrap = frozen_bootstrap;
const struct _frozen *_PyImport_FrozenStdlib = frozen_library;
const struct _frozen *_PyImport_FrozenTest = none;
const struct _frozen *PyImport_FrozenModules = NULL;
const struct _module_alias *_PyImport_FrozenAliases = aliases;

int _Py_Deepfreeze_Init(void) { return 0; }
void _Py_Deepfreeze_Fini(void) {}

/* The paths stand in the configuration already. */
PyStatus _PyConfig_InitPathConfig(PyConfig *config, int compute) {
    (void)config, (void)compute;
    return _PyStatus_OK();
}

/* The streams of the process are lines of the log; the engine makes its own. */
int no_fcntl(int fd, int command, ...) {
    (void)fd, (void)command;
    return -1;
}

int no_fstat(int fd, struct _Py_stat_struct *status) {
    (void)fd, (void)status;
    return -1;
}
