"""Runs scripts: finds the packed library, loads the script, calls its function,
and tells the host how it ended. It is frozen into the engine, and sees the host
by the module _uniflow alone."""
import sys

import _frozen_importlib as bootstrap
import _uniflow

# What the sandbox has not, and what to use instead.
ABSENT = {
    "ssl": "scripts have no sockets; use uniflow.http",
    "_socket": "scripts have no sockets; use uniflow.http",
    "asyncio": "scripts have no event loop; calls of uniflow wait for their answer",
    "subprocess": "scripts have no processes",
    "multiprocessing": "scripts have no processes",
    "sqlite3": "this engine is built without SQLite",
}


class Library:
    """Imports what is packed in the engine."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        package = _uniflow.packed_kind(name)
        if package is None:
            return None
        return bootstrap.ModuleSpec(name, cls, origin="packed", is_package=package)

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        exec(_uniflow.packed_code(module.__name__), module.__dict__)

    @staticmethod
    def get_code(name):
        return _uniflow.packed_code(name)

    @staticmethod
    def get_source(name):
        return None

    @staticmethod
    def is_package(name):
        return bool(_uniflow.packed_kind(name))


class Absent:
    """Says why a module of the standard library is not here."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is None and name in ABSENT:
            raise ModuleNotFoundError(f"no module named {name!r}: {ABSENT[name]}", name=name)
        return None


class Stream:
    """A text stream whose lines are lines of the log."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    closed = False
    mode = "w"

    def __init__(self, name, fd):
        self.name, self._fd, self._kept = name, fd, ""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        whole, newline, rest = text.rpartition("\n")
        if newline:
            self._put(self._kept + whole + "\n")
            self._kept = rest
        else:
            self._kept += text
        return len(text)

    def _put(self, text):
        _uniflow.write(self._fd, text.encode("utf-8", "backslashreplace"))

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        if self._kept:
            text, self._kept = self._kept, ""
            self._put(text + "\n")

    def writable(self):
        return True

    def readable(self):
        return False

    seekable = readable
    isatty = readable

    def fileno(self):
        return self._fd


def prepare():
    """Makes Python ready for scripts."""
    sys.meta_path.insert(2, Library)
    sys.meta_path.append(Absent)
    sys.stdout = sys.__stdout__ = Stream("<stdout>", 1)
    sys.stderr = sys.__stderr__ = Stream("<stderr>", 2)
    import builtins

    builtins.open = sys.modules["io"].open


prepare()

import gc  # noqa: E402
import io  # noqa: E402
import os  # noqa: E402

import uniflow  # noqa: E402

script = None  # the module, once it is imported


def find_script():
    """Returns name and path of the script, and puts its folder first."""
    path = os.environ.get("UNIFLOW_SCRIPT", "")
    if not path:
        raise uniflow.Permanent("no script: UNIFLOW_SCRIPT is not set", code="config")
    folder, _, file = path.rpartition("/")
    if folder not in sys.path:
        sys.path.insert(0, folder)
        for sub in ("site-packages", "vendor"):
            sys.path.insert(1, folder + "/" + sub)
    return file.removesuffix(".py"), path


def load():
    """Imports the script once."""
    global script
    if script is not None:
        return script
    name, path = find_script()
    sys.argv = [path]
    if name.isidentifier() and _uniflow.packed_kind(name) is None and name not in sys.modules:
        script = __import__(name)
        return script
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("__uniflow_script__", path)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    script = module
    return script


def warm():
    """Imports the script before the state is kept that attempts start from."""
    gc.disable()
    try:
        load()
    except BaseException:
        forget()  # the attempt imports it again, and says what is wrong
    uniflow._warm()
    gc.collect()
    gc.freeze()
    gc.enable()
    return 0


def forget():
    """Undoes a failed import, for the next to begin anew."""
    sys.path_importer_cache.clear()


def reseed():
    """Renews randomness at the start of an attempt."""
    if "random" in sys.modules:
        sys.modules["random"].seed()
    return 0


def function_of(module, name):
    name = name if name not in ("", "uniflow_run") else "run"
    found = getattr(module, name, None)
    if callable(found):
        return found
    names = sorted(k for k, v in vars(module).items() if callable(v) and not k.startswith("_") and getattr(v, "__module__", "") == module.__name__)
    have = "it has " + ", ".join(names) if names else "it has no function"
    raise uniflow.Permanent(f"the script has no function {name!r}; {have}", code="no_function")


def run():
    """One attempt; returns the kind of its ending."""
    try:
        ctx = uniflow.Context(_uniflow.input())
        result = function_of(load(), ctx.function)(ctx)
        if hasattr(result, "send") and hasattr(result, "cr_frame"):
            result = finish(result)
        uniflow._results(result)
        return 0
    except uniflow.Ending as ending:
        _uniflow.fail(ending.kind, ending._document())
        return ending.kind
    except uniflow._Return as number:
        return number.args[0]
    except SystemExit as leaving:
        return _left(leaving.code)
    except BaseException as error:
        return _failed(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def finish(coroutine):
    """Runs a coroutine that waits for nothing from outside."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as done:
        return done.value


# The kinds of exit codes, as for commands.
KINDS = {65: 4, 78: 4, 75: 3, 99: 2}


def _left(code):
    if code is None or code == 0:
        return 0
    kind = KINDS.get(code, 1) if isinstance(code, int) else 1
    _uniflow.fail(kind, f"the script left with exit code {code}" if isinstance(code, int) else _cut(str(code)))
    return kind


def _cut(text, most=16000):
    raw = text.encode("utf-8", "backslashreplace")
    return raw if len(raw) <= most else raw[:most].decode("utf-8", "ignore").encode()


def _failed(error):
    """The traceback is for the log, its last line is the reason."""
    text = traceback_of(error)
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines[-100:]:
        uniflow.log.error(line)
    if isinstance(error, uniflow.CallError):
        _uniflow.fail(error.kind, uniflow._ending(str(error), error.code))
        return error.kind
    _uniflow.fail(1, uniflow._ending(lines[-1].strip() if lines else type(error).__name__))
    return 1


def _machinery(frame):
    return frame.f_globals is globals() or frame.f_code.co_filename.startswith("<frozen importlib")


def _cleaned(trace):
    """Takes the engine's own frames out of a traceback."""
    while trace is not None and _machinery(trace.tb_frame):
        trace = trace.tb_next
    at = trace
    while at is not None:
        following = at.tb_next
        while following is not None and _machinery(following.tb_frame):
            following = following.tb_next
        at.tb_next = following
        at = following
    return trace


def traceback_of(error):
    seen, chain = set(), [error]
    while chain:
        one = chain.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = _cleaned(one.__traceback__)
            chain += [one.__cause__, one.__context__]
    kept, sys.stderr = sys.stderr, io.StringIO()
    try:
        sys.__excepthook__(type(error), error, error.__traceback__)
        return sys.stderr.getvalue().rstrip("\n")
    finally:
        sys.stderr = kept
