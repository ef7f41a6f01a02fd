"""Asks one broker who belongs to the cluster: the honest test of readiness, one DescribeCluster request.

Written on the bare protocol because a client library, while a broker starts, retries, logs and waits on its own terms.
It must never do more than ask.

    request   int32 size | int16 api key 60 | int16 version 0 | int32 correlation | nullable string client id
              | tagged fields | bool include_authorized_operations | tagged fields
    response  int32 size | int32 correlation | tagged fields | int32 throttle | int16 error | compact string message
              | compact string cluster | int32 controller | compact array of (int32 id, compact string host, int32 port,
              compact string rack, tagged fields) | int32 operations | tagged fields
"""

import socket
import struct

__all__ = ["broker_ids"]

_DESCRIBE_CLUSTER = 60
_CLIENT = b"contactgate-probe"


def broker_ids(port: int, *, host: str = "127.0.0.1", timeout_s: float) -> frozenset[int] | None:
    """The ids of the live (unfenced) brokers as `host`:`port` sees them; None when it does not answer in time."""
    body = struct.pack(">hhih", _DESCRIBE_CLUSTER, 0, 1, len(_CLIENT)) + _CLIENT + b"\0" + b"\0" + b"\0"
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as link:
            link.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _exactly(link, 4))
            return _parse(_exactly(link, size))
    except (OSError, EOFError, struct.error, IndexError):
        return None


def _exactly(link: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        chunk = link.recv(size - len(got))
        if not chunk:
            raise EOFError
        got += chunk
    return bytes(got)


def _parse(reply: bytes) -> frozenset[int] | None:
    _correlation, _tags, _throttle, error = struct.unpack_from(">ibih", reply, 0)
    if error != 0:
        return None
    at = _skip_string(reply, 11)  # message
    at = _skip_string(reply, at) + 4  # cluster id, controller id
    count, at = _varint(reply, at)
    ids = []
    for _ in range(count - 1):
        ids.append(struct.unpack_from(">i", reply, at)[0])
        at = _skip_string(reply, at + 4) + 4  # host, port
        at = _skip_string(reply, at) + 1  # rack, no tagged fields
    return frozenset(ids)


def _skip_string(reply: bytes, at: int) -> int:
    size, at = _varint(reply, at)
    return at + max(size - 1, 0)


def _varint(reply: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = reply[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
