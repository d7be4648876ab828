"""The messages of plugin.proto, and those of go-plugin, as bytes: the part of Protocol Buffers that they need."""
from __future__ import annotations

from typing import Iterator, Union


def _varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def message(*fields: tuple[int, Union[int, bool, str, bytes]]) -> bytes:
    """Encodes fields of a number and a value; numbers that are 0 and empty texts are left out."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            if value:
                out += _varint(number << 3) + _varint(int(value))
        elif value:
            data = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(data)) + data
    return bytes(out)


def nested(number: int, content: bytes) -> bytes:
    """Encodes a message as a field, also an empty one."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    n = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        n |= (byte & 0x7F) << shift
        if byte < 0x80:
            return n & ((1 << 64) - 1), at
        shift += 7
    raise ValueError("a number is too long")


def _fields(data: bytes) -> Iterator[tuple[int, Union[int, bytes]]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        value: Union[int, bytes]
        if kind == 0:
            value, at = _read_varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at : at + size], at + size
        elif kind == 2:
            size, at = _read_varint(data, at)
            if at + size > len(data):
                raise ValueError("a field is longer than its message")
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"a field of the kind {kind}")
        yield tag >> 3, value


class Fields:
    """A decoded message; the last of several fields of a number counts, unknown ones do no harm."""

    def __init__(self, data: bytes) -> None:
        self._all = dict(_fields(data))

    def number(self, field: int) -> int:
        value = self._all.get(field, 0)
        return value if isinstance(value, int) else 0

    def bytes(self, field: int) -> bytes:
        value = self._all.get(field, b"")
        return value if isinstance(value, bytes) else b""

    def text(self, field: int) -> str:
        return self.bytes(field).decode("utf-8", "replace")
