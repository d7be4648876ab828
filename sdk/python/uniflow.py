"""What a script asks of Uniflow.

    import uniflow

    def run(ctx):
        rows = ctx.inputs["rows"]
        uniflow.log.info("%d rows", len(rows))
        return {"count": len(rows)}

The object that the function returns becomes the outputs of the step, one for
each key. The engine calls the function once per attempt, in a fresh sandbox.
"""
import json as _json

import _uniflow

__all__ = [
    "CallError", "Context", "Ending", "Failed", "Permanent", "Response", "Retry", "Skip", "artifact", "call", "emit", "http",
    "info", "log", "output", "output_raw", "progress", "secret", "state",
]

_ERRORS = ["ok", "denied", "not_found", "too_large", "invalid", "unavailable", "cancelled", "quota", "unknown_op", "fault"]
_MESSAGE = 16000  # bytes of a message that the host surely takes
_SLICE = 4 << 20  # bytes of an artifact that are read at once


class CallError(Exception):
    """The host refused. A step that lets it through fails with its code; what asking again cannot change is permanent."""

    def __init__(self, code, message="", hint="", op=""):
        super().__init__(f"{op}: {message or code}" if op else message or code)
        self.code, self.message, self.hint, self.op = code, message, hint, op

    @property
    def kind(self):
        return 4 if self.code in ("denied", "invalid", "unknown_op") else 1


class Ending(Exception):
    """How a step ends other than by success. Raise one of Skip, Permanent, Retry and Failed."""

    kind = 1

    def __init__(self, message="", code=""):
        super().__init__(message)
        self.message, self.code = str(message), code

    def _document(self):
        return _ending(self.message, self.code)


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

    def __init__(self, message="", code="", after=None):
        super().__init__(message, code)
        self.after = after

    def _document(self):
        return _ending(self.message, self.code, self.after)


class _Return(BaseException):
    """Ends with a number, and records nothing."""


def _ending(message, code="", after=None):
    document = {"message": _text(message)[:_MESSAGE].decode("utf-8", "ignore")}
    if code:
        document["code"] = code
    if after is not None:
        document["retry_after_ms"] = round(after * 1000)
    text = _dump(document)
    if len(text) > _MESSAGE:  # quotes and the like took more room
        document["message"] = document["message"][:2000]
        text = _dump(document)
    return text


def _text(text):
    return str(text).encode("utf-8", "backslashreplace")


# ---- JSON ----


def _plain(value):
    """Returns a value of another type as JSON has it."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    hint = "put it with uniflow.artifact.put" if isinstance(value, (bytes, bytearray)) else "turn it into text, a number, a list or a dict"
    raise TypeError(f"a value of type {type(value).__name__} is no JSON: {hint}")


_encoder = _json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
_ascii = _json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_plain)
_decoder = _json.JSONDecoder()


def _dump(value):
    try:
        return _encoder.encode(value).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return _ascii.encode(value).encode()


def _load(raw):
    return _decoder.decode(raw.decode())


def _members(raw):
    """Returns the members of an object, the values as they stand."""
    parts = iter(_uniflow.split(raw)) if raw[:1] == b"{" else iter(())
    return {_load(key): value for key, value in zip(parts, parts)}


# ---- the step ----


class Context:
    """What the step is told. Every member of the run context is an attribute (docs/ABI.md lists them); `with`, a word of
    Python, is `inputs`."""

    def __init__(self, raw):
        self.raw = raw  # the document, as bytes
        self.__dict__.update(_load(raw))
        self.inputs = self.__dict__.pop("with", None) or {}
        self._inputs = None

    def raw_input(self, name):
        """Returns the JSON text of an input as it stands in the document, byte for byte; None where there is none."""
        if self._inputs is None:
            self._inputs = _members(_members(self.raw).get("with", b""))
        found = self._inputs.get(name)
        return None if found is None else found.decode()


def output(name, value):
    """Sets an output to a value that JSON can hold."""
    _set(name, _dump(value))


def output_raw(name, text):
    """Sets an output to a JSON text, byte for byte."""
    _set(name, text)


def _set(name, text):
    code = _uniflow.output(_text(name), text)
    if code < 0:
        raise _refusal("output", code, f"output {name!r} is refused: {_name(code)}")


def progress(fraction, message=""):
    """Says how far the step is, from 0 to 1; True when it is being cancelled."""
    return _uniflow.progress(max(0, min(1000, round(fraction * 1000))), _text(message)[:_MESSAGE]) == 1


class _Log:
    """Writes lines to the log of the step. Arguments fill in %s and the like."""

    @staticmethod
    def _put(level, message, args):
        text = _text(message % args if args else message)
        _uniflow.log(level, text if len(text) <= _MESSAGE else text[:_MESSAGE].decode("utf-8", "ignore").encode())

    def debug(self, message, *args):
        self._put(1, message, args)

    def info(self, message, *args):
        self._put(2, message, args)

    def warn(self, message, *args):
        self._put(3, message, args)

    warning = warn

    def error(self, message, *args):
        self._put(4, message, args)


# ---- services ----


def _name(code):
    return _ERRORS[-code] if -code < len(_ERRORS) else f"error_{-code}"


def _refusal(op, code, message="", hint=""):
    return CallError(_name(code), message, hint, op)


def _call(op, request, body=None):
    """Returns the bytes that a service answers."""
    if isinstance(body, str):
        body = body.encode()
    code, answer = _uniflow.call(op, _dump(request), body)
    if code == 0:
        return answer
    try:
        why = _load(answer)
    except ValueError:
        why = {}
    raise CallError(why.get("code") or _name(code), why.get("message", ""), why.get("hint", ""), op)


def call(op, request=None, body=None):
    """Calls a service by the name of its operation, and returns what it answers."""
    answer = _call(op, request if request is not None else {}, body)
    return _load(answer) if answer else None


def info():
    """Returns what the host is and can."""
    return call("host.info")


def secret(name):
    """Returns a secret that the manifest exposes to the step."""
    return call("secret.get", {"name": name})["value"]


def emit(type, data=None, subject=None):
    """Emits an event and returns its id."""
    event = {"type": type, "subject": subject, "data": data}
    return call("event.emit", {k: v for k, v in event.items() if v is not None})["id"]


class Response:
    """What a server answered. Names of headers are in lower case."""

    def __init__(self, answer):
        self.status, self.headers = answer["status"], answer.get("headers") or {}
        self.artifact = answer.get("artifact")
        self._body, self._packed = answer.get("body"), answer.get("body_base64")

    @property
    def ok(self):
        return self.status < 400

    @property
    def bytes(self):
        if self._packed is not None:
            from binascii import a2b_base64

            return a2b_base64(self._packed)
        return (self._body or "").encode()

    @property
    def text(self):
        return self._body if self._body is not None else self.bytes.decode("utf-8", "replace")

    def json(self):
        return _json.loads(self.text)

    def __repr__(self):
        return f"<Response {self.status}>"


class _HTTP:
    """Makes requests, by the host, where the grant http allows it. A status of 400 or more is an answer, no exception."""

    def request(self, method, url, headers=None, body=None, json=None, timeout=None, artifact=None):
        """Returns the response. The body is text or bytes, or json a value; timeout is in seconds; artifact is a name under
        which the body of the response is stored."""
        request, headers = {"method": method, "url": url}, dict(headers or {})
        if json is not None:
            body = _dump(json)
            headers.setdefault("content-type", "application/json")
        if headers:
            request["headers"] = headers
        if timeout is not None:
            request["timeout_ms"] = round(timeout * 1000)
        if artifact is not None:
            request["artifact"] = artifact
        return Response(_load(_call("http.request", request, body)))

    def get(self, url, headers=None, **more):
        return self.request("GET", url, headers, **more)

    def post(self, url, headers=None, **more):
        return self.request("POST", url, headers, **more)

    def put(self, url, headers=None, **more):
        return self.request("PUT", url, headers, **more)

    def delete(self, url, headers=None, **more):
        return self.request("DELETE", url, headers, **more)


class _State:
    """Values that the pipeline keeps from run to run. What is written counts when the run succeeds."""

    def __getitem__(self, key):
        try:
            return call("state.get", {"key": key})["value"]
        except CallError as error:
            if error.code == "not_found":
                raise KeyError(key) from None
            raise

    def get(self, key, default=None):
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key):
        return self.get(key, self) is not self

    def __setitem__(self, key, value):
        call("state.set", {"key": key, "value": value})

    def __delitem__(self, key):
        call("state.delete", {"key": key})

    set, delete = __setitem__, __delitem__

    def list(self, prefix=""):
        """Returns the keys that begin with prefix, sorted."""
        return call("state.list", {"prefix": prefix})["keys"]


class _Artifact:
    """Values too large for JSON. A reference is a dict that can be an output."""

    def put(self, name, data, type="application/octet-stream"):
        """Stores text or bytes and returns the reference."""
        return call("artifact.put", {"name": name, "type": type}, data)

    def get(self, ref, offset=None, length=None):
        """Returns the bytes, or a slice of them."""
        size = ref.get("size") or 0
        if offset is None and length is None and size > _SLICE:
            return b"".join(self.get(ref, at, min(_SLICE, size - at)) for at in range(0, size, _SLICE))
        request = dict(ref)
        if offset is not None:
            request["offset"] = offset
        if length is not None:
            request["length"] = length
        return _call("artifact.get", request)


log, http, state, artifact = _Log(), _HTTP(), _State(), _Artifact()


# ---- for the engine ----


def _warm():
    """Fills caches before the state is kept that attempts start from."""
    Context(b'{"with":{"a":[1,2.5,"x",null,true]},"context":{}}').raw_input("a")
    _dump({"a": [1, 2.5, "x\u00fc", None, True]})
    _ending("", "x", 1)


def _results(result):
    """Sets what the function returned as outputs."""
    if result is None:
        return
    if not isinstance(result, dict):
        result = {"result": result}
    for name, value in result.items():
        output(name, value)
