"""A certificate for one process, signed by itself: what go-plugin calls AutoMTLS. Host and plugin each show the other
theirs when the plugin starts, and accept no other on the socket between them.

The key lives as long as the process and signs nothing but its own certificate here; all else that is done with it, the
TLS library does. That is why these few lines of arithmetic suffice, and no package with compiled code is needed.
"""
from __future__ import annotations

import base64
import hashlib
import secrets
import time

# The curve P-256: y² = x³ - 3x + B over the field of P, with a generator G of the order N.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def _add(a, b):
    if a is None or b is None:
        return a or b
    (x1, y1), (x2, y2) = a, b
    if x1 == x2 and (y1 + y2) % _P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, _P) if a == b else (y2 - y1) * pow(x2 - x1, -1, _P)
    x = (slope * slope - x1 - x2) % _P
    return x, (slope * (x1 - x) - y1) % _P


def _times(k, point):
    total = None
    while k:
        if k & 1:
            total = _add(total, point)
        point = _add(point, point)
        k >>= 1
    return total


def _sign(key: int, data: bytes) -> bytes:
    digest = int.from_bytes(hashlib.sha256(data).digest(), "big")
    while True:
        k = secrets.randbelow(_N - 1) + 1
        r = _times(k, _G)[0] % _N
        s = pow(k, -1, _N) * (digest + r * key) % _N
        if r and s:
            return _sequence(_integer(r), _integer(s))


# DER, the encoding of certificates.


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _der(0x30, *parts)


def _integer(n: int) -> bytes:
    return _der(0x02, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def _oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    out = [first * 40 + second]
    for n in rest:
        low = [n & 0x7F]
        while n := n >> 7:
            low.insert(0, n & 0x7F | 0x80)
        out += low
    return _der(0x06, bytes(out))


def _extension(oid: str, critical: bool, value: bytes) -> bytes:
    return _sequence(_oid(oid), _der(0x01, b"\xff") if critical else b"", _der(0x04, value))


def _pem(kind: str, der: bytes) -> str:
    return f"-----BEGIN {kind}-----\n{base64.encodebytes(der).decode()}-----END {kind}-----\n"


def make() -> tuple[bytes, str]:
    """Returns a certificate for localhost as DER, and certificate and key as PEM."""
    key = secrets.randbelow(_N - 1) + 1
    x, y = _times(key, _G)
    curve, point = _oid("1.2.840.10045.3.1.7"), b"\x00\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    algorithm = _sequence(_oid("1.2.840.10045.4.3.2"))
    name = _sequence(_der(0x31, _sequence(_oid("2.5.4.3"), _der(0x0C, b"localhost"))))
    since = time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() - 86400)).encode()
    content = _sequence(
        _der(0xA0, _integer(2)),
        _integer(secrets.randbits(127) | 1 << 126),
        algorithm,
        name,
        _sequence(_der(0x17, since), _der(0x17, b"491231235959Z")),
        name,
        _sequence(_sequence(_oid("1.2.840.10045.2.1"), curve), _der(0x03, point)),
        _der(0xA3, _sequence(
            _extension("2.5.29.19", True, _sequence(_der(0x01, b"\xff"))),  # a root of its own
            _extension("2.5.29.15", True, _der(0x03, b"\x02\xac")),  # signatures, agreement on keys, certificates
            _extension("2.5.29.37", False, _sequence(_oid("1.3.6.1.5.5.7.3.1"), _oid("1.3.6.1.5.5.7.3.2"))),
            _extension("2.5.29.17", False, _sequence(_der(0x82, b"localhost"))),
        )),
    )
    der = _sequence(content, algorithm, _der(0x03, b"\x00" + _sign(key, content)))
    private = _sequence(_integer(1), _der(0x04, key.to_bytes(32, "big")), _der(0xA0, curve), _der(0xA1, _der(0x03, point)))
    return der, _pem("CERTIFICATE", der) + _pem("EC PRIVATE KEY", private)
