"""Serves steps to a host: the protocol of go-plugin on one thread, the steps on the main one."""
from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import json
import os
import queue
import ssl
import sys
import tempfile
import threading
import traceback
from typing import Any, Callable, Dict, List, Optional, Union

from . import _certificate
from ._context import CANCELLED, DENIED, INVALID, TOO_LARGE, UNAVAILABLE, UNKNOWN_OP, CallError, Context, Ending, Permanent, clip
from ._grpc import PERMISSION_DENIED, RESOURCE_EXHAUSTED, Client, Server, Status, Stopped, Stream
from ._wire import Fields, message, nested

Step = Callable[[Context], Any]

_steps: Dict[str, Step] = {}
_COOKIE = ("UNIFLOW_PLUGIN", "uniflow.plugin.v1")
_LEVELS = ["trace", "debug", "info", "warn", "error"]
_PERMANENT = {DENIED, INVALID, UNKNOWN_OP}


def step(function: Step) -> Step:
    """Makes a function a step, under its own name."""
    _steps[function.__name__] = function
    return function


def serve(
    functions: Union[Dict[str, Step], List[Step], None] = None, *, name: str = "", version: str = "", description: str = "",
    descriptor: Optional[Dict[str, Any]] = None,
) -> None:
    """Serves steps and does not return while the host wants them: those that ``@step`` marks, or functions, by name.

    The descriptor says what the plugin is: name, version, description, and for each function JSON Schemas of its inputs
    (``with``) and outputs. A program that was not started by a host says what it is and ends with code 1.
    """
    if functions is None:
        functions = _steps
    if not isinstance(functions, dict):
        functions = {f.__name__: f for f in functions}
    if os.environ.get(_COOKIE[0]) != _COOKIE[1]:
        print(
            "This program is a Uniflow plugin and is started by the host. Name it in uniflow.toml:\n\n"
            f"  [plugins.{name or 'name'}]\n  process = {json.dumps(sys.argv[0])}", file=sys.stderr)
        raise SystemExit(1)
    if descriptor is None:
        descriptor = {"functions": {f: _describe(function) for f, function in functions.items()}}
    for key, value in (("name", name), ("version", version), ("description", description)):
        if value:
            descriptor.setdefault(key, value)
    descriptor.setdefault("name", os.path.splitext(os.path.basename(sys.argv[0]))[0])
    _Plugin(functions, descriptor).run()


def _describe(function: Step) -> Dict[str, str]:
    first = (function.__doc__ or "").strip().partition("\n")[0]
    return {"description": first} if first else {}


class _Plugin:
    """The program, from the handshake to its end."""

    def __init__(self, functions: Dict[str, Step], descriptor: Dict[str, Any]) -> None:
        self.functions = functions
        self.descriptor = json.dumps(descriptor, ensure_ascii=False).encode()
        self.loop = asyncio.new_event_loop()
        self.attempts: "queue.Queue[_Attempt]" = queue.Queue()
        self.host: Optional[Client] = None
        self.offers: Dict[int, "asyncio.Future[str]"] = {}
        self.tls: Dict[bool, ssl.SSLContext] = {}

    def run(self) -> None:
        ready: "concurrent.futures.Future[str]" = concurrent.futures.Future()
        threading.Thread(target=self._network, args=(ready,), daemon=True, name="uniflow").start()
        line = ready.result()
        sys.stdout.flush()
        os.write(1, line.encode())
        os.dup2(2, 1)  # what the program prints is log from here on, in order with standard error
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)
        while True:
            attempt = self.attempts.get()
            attempt.execute()
            del attempt

    def _network(self, ready: "concurrent.futures.Future[str]") -> None:
        try:
            asyncio.set_event_loop(self.loop)
            ready.set_result(self.loop.run_until_complete(self._listen()))
        except BaseException as error:
            ready.set_exception(error)
            return
        self.loop.run_forever()

    async def _listen(self) -> str:
        """Listens, and returns the line by which the host finds and knows this program."""
        certificate = self._prepare_tls()
        folder = os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or tempfile.gettempdir()
        path = os.path.join(folder, f"p{os.getpid()}")
        handlers = {
            "/uniflow.plugin.v1.Plugin/Describe": self._answer_describe,
            "/uniflow.plugin.v1.Plugin/Run": self._answer_run,
            "/plugin.GRPCBroker/StartStream": self._hear_broker,
            "/plugin.GRPCController/Shutdown": self._shut_down,
            "/plugin.GRPCStdio/StreamStdio": self._stay_silent,
            "/grpc.health.v1.Health/Check": self._answer_health,
        }
        await self.loop.create_unix_server(lambda: Server(handlers, self._leave), path, ssl=self.tls.get(True))
        return f"1|1|unix|{path}|grpc|{certificate}\n"

    def _prepare_tls(self) -> str:
        """Makes a certificate where the host has one, and returns it in the form of go-plugin."""
        of_host = os.environ.get("PLUGIN_CLIENT_CERT", "")
        if not of_host:
            return ""
        der, pem = _certificate.make()
        handle, path = tempfile.mkstemp()
        try:
            with os.fdopen(handle, "w") as file:
                file.write(pem)
            for server in (True, False):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(cadata=of_host)
                context.load_cert_chain(path)
                context.set_alpn_protocols(["h2"])
                self.tls[server] = context
        finally:
            os.unlink(path)
        return base64.b64encode(der).decode().rstrip("=")

    @staticmethod
    def _leave() -> None:
        os._exit(0)  # the host is gone, or wants this process no more

    # The services.

    async def _answer_describe(self, stream: Stream) -> None:
        await stream.receive()
        await stream.send_answer(message((1, self.descriptor)))

    async def _answer_health(self, stream: Stream) -> None:
        await stream.receive()
        await stream.send_answer(message((1, 1)))

    async def _stay_silent(self, stream: Stream) -> None:
        """What the program prints goes to its standard error, which the host reads."""
        stream.begin()
        await stream.closed.wait()

    async def _shut_down(self, stream: Stream) -> None:
        await stream.send_answer(b"")
        self.loop.call_later(0.1, self._leave)

    async def _hear_broker(self, stream: Stream) -> None:
        """Takes the addresses at which the host serves."""
        stream.begin()
        while (data := await stream.receive()) is not None:
            offer = Fields(data)
            future = self._offer(offer.number(1))
            if not future.done():
                future.set_result(offer.text(3))

    def _offer(self, number: int) -> "asyncio.Future[str]":
        return self.offers.setdefault(number, self.loop.create_future())

    async def _connect(self, number: int) -> Client:
        """Returns the connection to the host's services, made once in the life of the process."""
        if self.host is None or self.host.lost.is_set():
            try:
                path = await asyncio.wait_for(asyncio.shield(self._offer(number)), 5)
                _, host = await self.loop.create_unix_connection(
                    Client, path, ssl=self.tls.get(False), server_hostname="localhost" if self.tls else None)
            except (OSError, asyncio.TimeoutError) as error:
                raise Status(14, f"connect to the services of the host: {error!r}") from error
            self.host = host
        return self.host

    async def _answer_run(self, stream: Stream) -> None:
        request = Fields(await stream.receive() or b"")
        host = await self._connect(request.number(3))
        stream.begin()
        attempt = _Attempt(self, stream, host, request)
        watch = asyncio.ensure_future(stream.closed.wait())
        watch.add_done_callback(lambda _: attempt.stop.set())
        self.attempts.put(attempt)
        try:
            await asyncio.wrap_future(attempt.over)
        finally:
            watch.cancel()


class _Attempt:
    """One attempt: the side of a Context that speaks to the host. It is used on the main thread, or on threads of the step."""

    def __init__(self, plugin: _Plugin, stream: Stream, host: Client, request: Fields) -> None:
        self.plugin, self.stream, self.host = plugin, stream, host
        self.document, self.call_id, self.output_bytes = request.bytes(1), request.text(2), request.number(5)
        self.stop = threading.Event()
        self.over: "concurrent.futures.Future[None]" = concurrent.futures.Future()
        self.open = True
        self.lock = threading.Lock()

    def execute(self) -> None:
        """Calls the step and says how it ended."""
        done = self._end()
        self.open = False
        for printed in (sys.stdout, sys.stderr):
            try:
                printed.flush()
            except (OSError, ValueError):
                pass  # the step has closed it
        try:
            os.write(2, f"\nuniflow:end:{self.call_id}\n".encode())
            done += message((6, True))
        except OSError:
            pass
        try:
            self._wait(self.stream.send(nested(5, done)))
        except Stopped:
            pass
        self.over.set_result(None)

    def _end(self) -> bytes:
        try:
            ctx = Context(self.document, self, self.output_bytes)
            result = self._find(getattr(ctx, "function", ""))(ctx)
            if result is not None:
                for name, value in (result if isinstance(result, dict) else {"result": result}).items():
                    ctx.output(name, value)
            return b""
        except Ending as end:
            after = round((end.after or 0) * 1000)
            return message((1, end.kind), (2, clip(end.code)), (3, clip(end.message)), (4, max(0, min(after, 86_400_000))))
        except CallError as refused:
            kind = 4 if refused.errno in _PERMANENT else 1
            return message((1, kind), (2, refused.code), (3, clip(refused)))
        except Exception as error:
            traceback.print_exc()
            told = clip(f"{type(error).__name__}: {error}")
            # After these nobody knows what state the program is in; the host replaces it.
            return message((1, 1), (2, type(error).__name__), (3, told), (5, isinstance(error, (MemoryError, RecursionError))))
        except BaseException as error:
            traceback.print_exc()
            return message((1, 1), (3, clip(f"{type(error).__name__}: {error}")), (5, True))

    def _find(self, name: str) -> Step:
        functions = self.plugin.functions
        if not name:
            name = next(iter(functions)) if len(functions) == 1 else "run"
        if name not in functions:
            raise Permanent(f'the plugin has no function "{name}"; it has: {", ".join(sorted(functions))}', code="unknown_function")
        return functions[name]

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.plugin.loop).result()

    def _send(self, number: int, event: bytes) -> bool:
        """Sends an event; False once nobody hears it any longer."""
        if not self.open:
            return False
        try:
            with self.lock:
                self._wait(self.stream.send(nested(number, event)))
        except Stopped:
            return False
        return True

    # What a Context needs.

    def log(self, level: int, text: str) -> None:
        if not self._send(1, message((1, level), (2, text))):
            print(f"{_LEVELS[max(level, 1)]}: {text}", file=sys.stderr)

    def progress(self, permille: int, text: str) -> None:
        self._send(2, message((1, permille), (2, text)))

    def output(self, name: str, value: bytes) -> None:
        if not self._send(3, message((1, name), (2, value))):
            raise CallError(CANCELLED, op="output")

    def artifact(self, name: str, media: str, data: bytes, end: bool, abort: bool) -> None:
        if not self._send(4, message((1, name), (2, media), (3, data), (4, end), (5, abort))) and not abort:
            raise CallError(CANCELLED, op="artifact")

    def cancelled(self) -> bool:
        return self.stop.is_set()

    def wait(self, seconds: float) -> bool:
        return self.stop.wait(seconds)

    def call(self, op: str, request: bytes, body: bytes) -> bytes:
        if not self.open or self.stop.is_set():
            raise CallError(CANCELLED, op=op)
        packed = message((1, self.call_id), (2, op), (3, request), (4, body))
        try:
            answer = Fields(self._wait(self.host.call("/uniflow.plugin.v1.Host/Call", packed)))
        except Status as status:
            errno = {PERMISSION_DENIED: DENIED, RESOURCE_EXHAUSTED: TOO_LARGE}.get(status.code, UNAVAILABLE)
            raise CallError(CANCELLED if self.stop.is_set() else errno, message=status.text, op=op) from None
        if answer.number(2):
            raise CallError(answer.number(2), answer.text(3), answer.text(4), answer.text(5), op)
        return answer.bytes(1)
