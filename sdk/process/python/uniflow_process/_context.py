"""What a step knows, how it answers, and what it asks of the host."""
from __future__ import annotations

import base64
import json
import re
from typing import Any, BinaryIO, Callable, Dict, Iterable, List, Optional, Protocol, TypedDict, Union

Reference = TypedDict("Reference", {"$artifact": str, "size": int, "type": str}, total=False)

ERRORS = ["ok", "denied", "not_found", "too_large", "invalid", "unavailable", "cancelled", "quota", "unknown_op", "fault"]
DENIED, TOO_LARGE, INVALID, UNAVAILABLE, CANCELLED, UNKNOWN_OP = 1, 3, 4, 5, 6, 8
_MAX_OUTPUTS, _MAX_NAME, _MAX_VALUE, _MAX_DEPTH, _MAX_MESSAGE = 64, 128, 8 << 20, 64, 16 << 10
_SLICE, _PIECE = 1 << 20, 256 << 10


class CallError(Exception):
    """The host refused. A step that lets it through fails with its code; what asking again cannot change is permanent."""

    def __init__(self, errno: int, code: str = "", message: str = "", hint: str = "", op: str = "") -> None:
        self.errno = errno
        self.code = code or (ERRORS[errno] if 0 <= errno < len(ERRORS) else "errno")
        self.message, self.hint, self.op = message, hint, op
        super().__init__(f"{op}: {message or self.code}" if op else message or self.code)


class Ending(Exception):
    """How a step ends other than by success. Raise one of Skip, Permanent, Retry and Failed."""

    kind = 1
    after: Optional[float] = None

    def __init__(self, message: object = "", code: str = "") -> None:
        self.message, self.code = str(message), code
        super().__init__(self.message)


class Failed(Ending):
    """A failure; the retry policy of the step decides. So does any other exception."""


class Skip(Ending):
    """There was nothing to do. Outputs are kept."""

    kind = 2


class Permanent(Ending):
    """A failure that trying again cannot help."""

    kind = 4


class Retry(Ending):
    """A failure that passes; after is in seconds."""

    kind = 3

    def __init__(self, message: object = "", code: str = "", after: Optional[float] = None) -> None:
        super().__init__(message, code)
        self.after = after


def clip(text: object) -> str:
    """Returns a message that the host takes."""
    data = str(text).encode("utf-8", "replace")
    return data.decode() if len(data) <= _MAX_MESSAGE else data[:_MAX_MESSAGE].decode("utf-8", "ignore")


# ---- JSON ----


def _plain(value: Any) -> Any:
    """Returns a value of another type as JSON has it."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    hint = "store it with ctx.artifact.put" if isinstance(value, (bytes, bytearray)) else "turn it into text, a number, a list or a dict"
    raise TypeError(f"a value of type {type(value).__name__} is no JSON: {hint}")


def dump(value: Any) -> bytes:
    """Encodes a value as JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain).encode()


_TOKEN = re.compile(r'[\[\]{}]|"[^"\\]*(?:\\.[^"\\]*)*"', re.S)
_SPACE = re.compile(r"[ \t\n\r]*")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_strict = json.JSONDecoder(parse_constant=_no_constant)


def is_json(text: str) -> bool:
    """Tells whether the host takes text as a value: one JSON value, at most 64 deep."""
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        if depth > _MAX_DEPTH:
            return False
    start = _SPACE.match(text).end()  # type: ignore[union-attr]
    try:
        _, end = _strict.raw_decode(text, start)
        text.encode()
    except (ValueError, RecursionError):
        return False
    return _SPACE.fullmatch(text, end) is not None


def _members(text: str) -> Dict[str, str]:
    """Returns the members of an object, the values as they stand."""
    found: Dict[str, str] = {}

    def skip(at: int) -> int:
        return _SPACE.match(text, at).end()  # type: ignore[union-attr]

    at = skip(0)
    if text[at : at + 1] != "{":
        return found
    at = skip(at + 1)
    while text[at] != "}":
        name, at = _strict.raw_decode(text, at)
        begin = skip(skip(at) + 1)
        _, at = _strict.raw_decode(text, begin)
        found[name] = text[begin:at]
        at = skip(at)
        if text[at] == ",":
            at = skip(at + 1)
    return found


# ---- the step ----


class Attempt(Protocol):
    """What a Context needs of the connection to the host."""

    def output(self, name: str, value: bytes) -> None: ...
    def log(self, level: int, message: str) -> None: ...
    def progress(self, permille: int, message: str) -> None: ...
    def artifact(self, name: str, media: str, data: bytes, end: bool, abort: bool) -> None: ...
    def call(self, op: str, request: bytes, body: bytes) -> bytes: ...
    def cancelled(self) -> bool: ...
    def wait(self, seconds: float) -> bool: ...


class Context:
    """One attempt of a step. Every member of the run context is an attribute (docs/ABI.md lists them); ``with``, a word
    of Python, is ``inputs``."""

    abi: str
    tenant: str
    project: str
    pipeline: str
    version: str
    label: str
    run_id: str
    step: str
    function: str
    attempt: int
    max_attempts: int
    idempotency_key: str
    trigger: str
    schedule: str
    scheduled_at: Optional[str]
    interval_start: Optional[str]
    interval_end: Optional[str]
    started_at: str
    deadline: Optional[str]
    last_success_at: Optional[str]
    context: Dict[str, Any]
    inputs: Dict[str, Any]
    item: Any
    item_index: Optional[int]
    features: List[str]

    def __init__(self, document: bytes, attempt: Attempt, output_bytes: int = 0) -> None:
        self.raw = document.decode()
        members = json.loads(self.raw)
        if not isinstance(members, dict):
            raise ValueError("the run context is no object")
        self.__dict__.update((name, value) for name, value in members.items() if not hasattr(type(self), name))
        self.inputs = self.__dict__.pop("with", None) or {}
        self.context = self.__dict__.get("context") or {}
        self._raw_inputs: Optional[Dict[str, str]] = None
        self._attempt = attempt
        self._limit = output_bytes or 1 << 20
        self._sizes: Dict[str, int] = {}
        self.log = Log(attempt)
        self.http = HTTP(self)
        self.state = State(self)
        self.artifact = Artifacts(self)

    def raw_input(self, name: str) -> Optional[str]:
        """Returns the JSON text of an input as it stands in the run context; None where there is none."""
        if self._raw_inputs is None:
            self._raw_inputs = _members(_members(self.raw).get("with", ""))
        return self._raw_inputs.get(name)

    def output(self, name: str, value: Any) -> None:
        """Sets an output to a value that JSON can hold; the last one of a name wins."""
        self.output_raw(name, dump(value).decode())

    def output_raw(self, name: str, text: str) -> None:
        """Sets an output to a JSON text, byte for byte."""
        try:
            key, data = name.encode(), text.encode()
        except UnicodeEncodeError:
            raise CallError(INVALID, message=f"output {name!r} is no text", op="output") from None
        if not key:
            raise CallError(INVALID, message="an output needs a name", op="output")
        total = sum(self._sizes.values()) - self._sizes.get(name, 0) + len(data)
        if len(key) > _MAX_NAME or len(data) > _MAX_VALUE or total > self._limit or name not in self._sizes and len(self._sizes) >= _MAX_OUTPUTS:
            raise CallError(TOO_LARGE, message=f"output {name[:40]!r} of {len(data)} bytes is over a limit of the step", op="output")
        if not is_json(text):
            raise CallError(INVALID, message=f"output {name[:40]!r} is no JSON of at most {_MAX_DEPTH} levels", op="output")
        self._attempt.output(name, data)
        self._sizes[name] = len(data)

    def save(self, name: str, content: Union[bytes, str, BinaryIO, Iterable[bytes]], type: str = "application/octet-stream") -> None:
        """Stores a file of any size, and sets the output of its name to its reference. Content may be an open file or pieces."""
        pieces = iter(_pieces(content))
        try:
            for piece in pieces:
                self._attempt.artifact(name, type, piece, False, False)
        except BaseException:
            self._attempt.artifact(name, type, b"", False, True)
            raise
        self._attempt.artifact(name, type, b"", True, False)

    def progress(self, fraction: float, message: str = "") -> bool:
        """Says how far the step is, from 0 to 1; True when it is being cancelled."""
        permille = max(0, min(1000, round(fraction * 1000))) if fraction == fraction else 0
        self._attempt.progress(permille, clip(message))
        return self.cancelled

    @property
    def cancelled(self) -> bool:
        """True once the attempt is to stop. A step that then returns within its grace ends in good order."""
        return self._attempt.cancelled()

    def sleep(self, seconds: float) -> bool:
        """Waits; True as soon as the attempt is to stop."""
        return self._attempt.wait(seconds)

    def call(self, op: str, request: Any = None, body: Union[bytes, str] = b"") -> Any:
        """Calls a service by the name of its operation, and returns what it answers."""
        answer = self.call_bytes(op, request, body)
        return json.loads(answer) if answer else None

    def call_bytes(self, op: str, request: Any = None, body: Union[bytes, str] = b"") -> bytes:
        """Calls a service and returns the bytes that it answers."""
        return self._attempt.call(op, dump({} if request is None else request), body.encode() if isinstance(body, str) else bytes(body))

    def info(self) -> Dict[str, Any]:
        """Returns what the host is and can."""
        return self.call("host.info")

    def secret(self, name: str) -> str:
        """Returns a secret that the manifest exposes to the plugin."""
        return self.call("secret.get", {"name": name})["value"]

    def emit(self, type: str, data: Any = None, subject: Optional[str] = None) -> str:
        """Emits an event and returns its id."""
        event = {"type": type, "subject": subject, "data": data}
        return self.call("event.emit", {k: v for k, v in event.items() if v is not None})["id"]


def _pieces(content: Union[bytes, str, BinaryIO, Iterable[bytes]]) -> Iterable[bytes]:
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, (bytes, bytearray, memoryview)):
        data = bytes(content)
        return (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
    read: Optional[Callable[[int], bytes]] = getattr(content, "read", None)
    if read is not None:
        return iter(lambda: read(_PIECE), b"")
    return (piece[at : at + _PIECE] for piece in content for at in range(0, len(piece), _PIECE))  # type: ignore[union-attr]


class Log:
    """Writes lines to the log of the step. Arguments fill in %s and the like."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def _put(self, level: int, message: object, args: tuple) -> None:
        self._attempt.log(level, clip(str(message) % args if args else message))

    def debug(self, message: object, *args: object) -> None:
        self._put(1, message, args)

    def info(self, message: object, *args: object) -> None:
        self._put(2, message, args)

    def warn(self, message: object, *args: object) -> None:
        self._put(3, message, args)

    warning = warn

    def error(self, message: object, *args: object) -> None:
        self._put(4, message, args)


class Response:
    """What a server answered. Names of headers are in lower case."""

    def __init__(self, answer: Dict[str, Any]) -> None:
        self.status: int = answer["status"]
        self.headers: Dict[str, str] = answer.get("headers") or {}
        self.artifact: Optional[Reference] = answer.get("artifact")
        packed = answer.get("body_base64")
        self.bytes: bytes = base64.b64decode(packed) if packed is not None else (answer.get("body") or "").encode()

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def text(self) -> str:
        return self.bytes.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.bytes)

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


class HTTP:
    """Makes requests, by the host, where the grant http allows it. A status of 400 or more is an answer, no exception."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def request(
        self, method: str, url: str, headers: Optional[Dict[str, str]] = None, body: Union[bytes, str, None] = None, *,
        json: Any = None, timeout: Optional[float] = None, artifact: Optional[str] = None,
    ) -> Response:
        """Returns the response. The body is text or bytes, or json a value; timeout is in seconds; artifact is a name
        under which the body of the response is stored."""
        request: Dict[str, Any] = {"method": method, "url": url}
        headers = dict(headers or {})
        if json is not None:
            body = dump(json)
            headers.setdefault("content-type", "application/json")
        if headers:
            request["headers"] = headers
        if timeout is not None:
            request["timeout_ms"] = round(timeout * 1000)
        if artifact is not None:
            request["artifact"] = artifact
        return Response(self._ctx.call("http.request", request, body or b""))

    def get(self, url: str, headers: Optional[Dict[str, str]] = None, **more: Any) -> Response:
        return self.request("GET", url, headers, **more)

    def post(self, url: str, headers: Optional[Dict[str, str]] = None, **more: Any) -> Response:
        return self.request("POST", url, headers, **more)

    def put(self, url: str, headers: Optional[Dict[str, str]] = None, **more: Any) -> Response:
        return self.request("PUT", url, headers, **more)

    def delete(self, url: str, headers: Optional[Dict[str, str]] = None, **more: Any) -> Response:
        return self.request("DELETE", url, headers, **more)


class State:
    """Values that the pipeline keeps from run to run. What is written counts when the run succeeds."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def __getitem__(self, key: str) -> Any:
        try:
            return self._ctx.call("state.get", {"key": key})["value"]
        except CallError as error:
            if error.code == "not_found":
                raise KeyError(key) from None
            raise

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: str) -> bool:
        return self.get(key, self) is not self

    def __setitem__(self, key: str, value: Any) -> None:
        self._ctx.call("state.set", {"key": key, "value": value})

    def __delitem__(self, key: str) -> None:
        self._ctx.call("state.delete", {"key": key})

    set, delete = __setitem__, __delitem__

    def list(self, prefix: str = "") -> List[str]:
        """Returns the keys that begin with prefix, sorted."""
        return self._ctx.call("state.list", {"prefix": prefix})["keys"]


class Artifacts:
    """Values too large for JSON. A reference is a dict that can be an output."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def put(self, name: str, data: Union[bytes, str], type: str = "application/octet-stream") -> Reference:
        """Stores text or at most 8 MiB of bytes and returns the reference. Context.save takes more."""
        return self._ctx.call("artifact.put", {"name": name, "type": type}, data)

    def get(self, ref: Reference, offset: Optional[int] = None, length: Optional[int] = None) -> bytes:
        """Returns the bytes, or a slice of them."""
        if offset is None and length is None and (ref.get("size") or 0) > _SLICE:
            return b"".join(self.read(ref))
        request: Dict[str, Any] = dict(ref)
        if offset is not None:
            request["offset"] = offset
        if length is not None:
            request["length"] = length
        return self._ctx.call_bytes("artifact.get", request)

    def read(self, ref: Reference) -> Iterable[bytes]:
        """Returns the bytes of an artifact of any size, in pieces."""
        at = 0
        while True:
            piece = self.get(ref, at, _SLICE)
            if piece:
                yield piece
            if len(piece) < _SLICE:
                return
            at += len(piece)
