"""gRPC over HTTP/2, as far as a plugin and its host need it: a server and a client on one event loop."""
from __future__ import annotations

import asyncio
import struct
import urllib.parse
from typing import Awaitable, Callable, Optional

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

MAX_MESSAGE = (8 << 20) + (64 << 10)  # bytes, in both directions
_WINDOW = 1 << 20
PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 7, 8, 12, 13, 14


class Status(Exception):
    """A call that had no answer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Stopped(Exception):
    """The other side has closed the stream."""


def _framed(data: bytes) -> bytes:
    return struct.pack(">BI", 0, len(data)) + data


class Stream:
    """One call, on either side."""

    def __init__(self, peer: "_Peer", number: int, path: str = "") -> None:
        self.peer, self.number, self.path = peer, number, path
        self.headers: dict[str, str] = {}
        self.closed = asyncio.Event()  # reset, or the connection is lost
        self._changed = asyncio.Event()
        self._received = bytearray()
        self._ended = False
        self._answered = False
        self.too_large = False

    # What the connection says.

    def put(self, data: bytes) -> None:
        self._received += data
        if len(self._received) >= 5 and struct.unpack(">I", self._received[1:5])[0] > MAX_MESSAGE:
            self.too_large = True
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    def close(self) -> None:
        self.closed.set()
        self._changed.set()

    # What a handler or a caller does.

    async def receive(self) -> Optional[bytes]:
        """Returns the next message, None after the last one."""
        while True:
            if self.too_large:
                raise Status(RESOURCE_EXHAUSTED, f"a message is larger than {MAX_MESSAGE} bytes")
            if len(self._received) >= 5:
                packed, size = struct.unpack(">BI", self._received[:5])
                if packed:
                    raise Status(UNIMPLEMENTED, "a message is compressed")
                if len(self._received) >= 5 + size:
                    found = bytes(self._received[5 : 5 + size])
                    del self._received[: 5 + size]
                    return found
            if self.closed.is_set():
                raise Stopped
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()

    def begin(self) -> None:
        """Sends the headers of an answer."""
        if not self._answered:
            self._answered = True
            self.peer.send_headers(self.number, [(":status", "200"), ("content-type", "application/grpc")])

    async def send(self, data: bytes, end: bool = False) -> None:
        """Sends a message, as fast as the other side reads."""
        if self.closed.is_set():
            raise Stopped
        await self.peer.send(self, _framed(data), end)

    async def send_answer(self, data: bytes) -> None:
        """Sends the one message of an answer."""
        self.begin()
        await self.send(data)

    def finish(self, code: int = 0, text: str = "") -> None:
        """Ends an answer."""
        if self.closed.is_set():
            return
        trailers = [("grpc-status", str(code))]
        if text:
            trailers.append(("grpc-message", urllib.parse.quote(text[:1000], safe=" ")))
        if not self._answered:
            trailers = [(":status", "200"), ("content-type", "application/grpc"), *trailers]
        self.peer.send_headers(self.number, trailers, end=True)


class _Peer(asyncio.Protocol):
    """One end of a connection."""

    client = False

    def __init__(self) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=self.client, header_encoding="utf-8"))
        self.transport: Optional[asyncio.Transport] = None
        self.streams: dict[int, Stream] = {}
        self._room = asyncio.Event()  # set when the other side may be sent more
        self._writable = asyncio.Event()
        self._writable.set()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.h2.local_settings = h2.settings.Settings(client=self.client, initial_values={
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
            h2.settings.SettingCodes.MAX_FRAME_SIZE: 1 << 14,
            h2.settings.SettingCodes.ENABLE_PUSH: 0,
        })
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(4 * _WINDOW)
        self.flush()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and self.transport and not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self.lost.set()
        self._room.set()
        self._writable.set()
        for stream in list(self.streams.values()):
            stream.close()

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()
            if self.transport:
                self.transport.close()
            return
        for event in events:
            self._event(event)
        self.flush()

    def _event(self, event: h2.events.Event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, (h2.events.RequestReceived, h2.events.ResponseReceived, h2.events.TrailersReceived)):
            self._headers(event.stream_id, dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if stream:
                stream.put(event.data)
        elif isinstance(event, h2.events.StreamEnded) and stream:
            stream.end()
        elif isinstance(event, h2.events.StreamReset) and stream:
            stream.close()
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            self._room.set()

    def _headers(self, number: int, headers: dict[str, str]) -> None:
        raise NotImplementedError

    def send_headers(self, number: int, headers: list[tuple[str, str]], end: bool = False) -> None:
        try:
            self.h2.send_headers(number, headers, end_stream=end)
        except h2.exceptions.ProtocolError as error:
            raise Stopped from error
        self.flush()

    async def send(self, stream: Stream, data: bytes, end: bool) -> None:
        view = memoryview(data)
        while True:
            await self._writable.wait()
            if stream.closed.is_set() or self.lost.is_set():
                raise Stopped
            try:
                room = min(self.h2.local_flow_control_window(stream.number), self.h2.max_outbound_frame_size)
                if room > 0 or not view:
                    piece, view = view[:room], view[room:]
                    self.h2.send_data(stream.number, bytes(piece), end_stream=end and not view)
                    self.flush()
                    if not view:
                        return
                    continue
            except h2.exceptions.ProtocolError as error:
                raise Stopped from error
            self._room.clear()
            if not stream.closed.is_set():
                waits = [asyncio.ensure_future(self._room.wait()), asyncio.ensure_future(stream.closed.wait())]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for w in waits:
                    w.cancel()


Handler = Callable[[Stream], Awaitable[None]]


class Server(_Peer):
    """The plugin's side of the connection from the host."""

    def __init__(self, handlers: dict[str, Handler], on_lost: Callable[[], None]) -> None:
        super().__init__()
        self.handlers, self.on_lost = handlers, on_lost
        self.tasks: set[asyncio.Task] = set()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        super().connection_lost(exc)
        self.on_lost()

    def _headers(self, number: int, headers: dict[str, str]) -> None:
        stream = Stream(self, number, headers.get(":path", ""))
        self.streams[number] = stream
        task = asyncio.ensure_future(self._serve(stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, stream: Stream) -> None:
        try:
            handler = self.handlers.get(stream.path)
            if handler is None:
                raise Status(UNIMPLEMENTED, f"unknown method {stream.path}")
            await handler(stream)
            stream.finish()
        except Stopped:
            pass
        except Status as status:
            stream.finish(status.code, status.text)
        except Exception as error:  # a fault of this kit
            stream.finish(INTERNAL, f"{type(error).__name__}: {error}")
        finally:
            self.streams.pop(stream.number, None)


class Client(_Peer):
    """A connection to the services of the host."""

    client = True

    def __init__(self) -> None:
        super().__init__()
        self._slots = asyncio.Semaphore(8)  # as many calls as the host takes at once

    def _headers(self, number: int, headers: dict[str, str]) -> None:
        stream = self.streams.get(number)
        if stream:
            stream.headers.update(headers)

    async def call(self, path: str, request: bytes) -> bytes:
        """Makes one call and returns the answer."""
        async with self._slots:
            if self.lost.is_set():
                raise Status(UNAVAILABLE, "the connection to the host is lost")
            stream = Stream(self, self.h2.get_next_available_stream_id(), path)
            self.streams[stream.number] = stream
            try:
                self.send_headers(stream.number, [
                    (":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "localhost"),
                    ("content-type", "application/grpc"), ("te", "trailers"),
                ])
                await stream.send(request, end=True)
                answer = await stream.receive()
                while not stream._ended:
                    if await stream.receive() is not None:
                        raise Status(INTERNAL, "a second answer")
            except Stopped:
                raise Status(UNAVAILABLE, "the connection to the host is lost") from None
            finally:
                self._forget(stream)
            code = int(stream.headers.get("grpc-status", "2"))
            if code != 0 or answer is None:
                raise Status(code or INTERNAL, urllib.parse.unquote(stream.headers.get("grpc-message", "no answer")))
            return answer

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.number, None)
        if not stream._ended and not stream.closed.is_set():
            try:
                self.h2.reset_stream(stream.number, h2.errors.ErrorCodes.CANCEL)
                self.flush()
            except h2.exceptions.ProtocolError:
                pass
