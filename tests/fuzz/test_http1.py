"""The HTTP/1.1 server and h11 read the same requests from the same bytes (RFC 9112, 6 and 11.2).

Where two servers on the way of a request see different requests in it, one can be smuggled past the
other (CWE-444).
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import Any, NamedTuple

import h11
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reference_registry.server.base import HttpExchange
from reference_registry.server.http1.connection import Http1Connection, KeptAnswers

_EXAMPLES = 200 + 12_000 * int(os.environ.get("PULLPROOF_FUZZ_MINUTES", "0"))

_STRICTER = {
    "Content-Length beside Transfer-Encoding, which RFC 9112, 6.3 lets a server refuse": (
        rb"(?is)content-length:.*transfer-encoding:|transfer-encoding:.*content-length:"
    ),
    "obsolete line folding, which RFC 9112, 5.2 lets a server refuse": rb"\r?\n[ \t]",
    "a line that ends in LF alone, which RFC 9112, 2.2 does not ask to be read": rb"(?<!\r)\n",
    "a version of HTTP other than 1.0 and 1.1, which h11 takes": rb"HTTP/(?!1\.[01])",
    "a CR that ends no line, which RFC 9112, 2.2 lets a server refuse": rb"\r(?!\n)",
    "a host that no URL can have (RFC 9112, 3.2)": rb"(?i)host:[^\r\n]*[@/ ?#]",
    "a method that no registry has": (
        rb"[^\s](?:GET|PUT|POST|HEAD)|\b(?!GET |PUT |POST |HEAD |v2)[A-Za-z0-9]+ [/?*]"
    ),
    "Transfer-Encoding in HTTP/1.0, which RFC 9112, 6.1 calls faulty framing": (
        rb"(?is)HTTP/1\.0.*transfer-encoding"
    ),
    "a chunk size of more than 64 bits, or white space around it": rb"(?m)^[0-9a-f]*[ \t;]",
    "a repeated Content-Length with one value (RFC 9110, 8.6 allows to refuse it)": (
        rb"(?is)content-length:.*content-length:|content-length:[^\r\n]*,"
    ),
}
"""What this server refuses though h11 takes it: reason, and what such bytes contain."""
_MORE_LENIENT = {
    "an empty line before a request, which RFC 9112, 2.2 asks to ignore": (
        rb"(?s)\A[\r\n]|\n\r?\n.{0,6}\r?\n"
    ),
}
"""What this server takes though h11 refuses it: reason, and what such bytes contain. A leniency is
what smuggling needs, so the only one concerns bytes between requests."""


class _Seen(NamedTuple):
    requests: list[tuple[bytes, bytes, bytes]]
    """Method, target and body of each complete request."""
    refused: bool
    """The rest is not a request."""


class _Transport:
    """A socket that discards what is written to it."""

    def __init__(self) -> None:
        self.closed = False
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = write_eof = close

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def get_extra_info(self, name: str) -> Any:
        return None


async def _ours(data: bytes, size: int) -> _Seen:
    asked: list[HttpExchange] = []
    requests: list[tuple[bytes, bytes, bytes]] = []
    transport = _Transport()
    connection = Http1Connection(asked.append, set(), KeptAnswers())
    connection.connection_made(transport)  # type: ignore[arg-type]
    keeps = True
    for start in range(0, len(data), size):
        connection.data_received(data[start : start + size])
        while asked and asked[0]._complete:
            exchange = asked.pop(0)
            body = b"".join(chunk for chunk, _ in exchange._chunks)
            target = exchange.scope["raw_path"]
            requests.append((exchange.scope["method"].encode(), target, body))
            await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
            await exchange.send({"type": "http.response.body", "body": b""})
            exchange.ended()
            keeps = getattr(exchange, "keeps")  # noqa: B009
        if transport.closed or connection._discards:
            break
    return _Seen(requests, refused=keeps and (transport.closed or connection._discards))


def _theirs(data: bytes) -> _Seen:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    requests: list[tuple[bytes, bytes, bytes]] = []
    method, target, body = b"", b"", b""
    try:
        while True:
            match connection.next_event():
                case h11.Request() as request:
                    method, target, body = request.method, request.target, b""
                case h11.Data() as piece:
                    body += bytes(piece.data)
                case h11.EndOfMessage():
                    requests.append((method, target.partition(b"?")[0], body))
                    connection.send(
                        h11.Response(status_code=200, headers=[("Content-Length", "0")])
                    )
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is not h11.DONE:
                        return _Seen(requests, refused=False)
                    connection.start_next_cycle()
                case _:
                    return _Seen(requests, refused=False)
    except h11.RemoteProtocolError:
        return _Seen(requests, refused=True)


_FRAMING = st.sampled_from(
    [
        *(b"", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length: +5\r\n"),
        *(b"content-length: 5\r\nContent-Length: 6\r\n", b"Content-Length: 5, 5\r\n"),
        *(b"Content-Length : 5\r\n", b"Content-Length: 0x5\r\n", b"Content-Length: \r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: xchunked\r\n"),
        *(b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: chunked, chunked\r\n"),
        *(b"Transfer-Encoding: CHUNKED\r\n", b"Transfer-Encoding:\tchunked\r\n"),
        *(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"Transfer-Encoding:\r\n"),
        *(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",),
        *(b"Transfer-Encoding: chunked\r\nConnection: close\r\n", b"X: a\r\n b\r\n"),
        *(b"Connection: close\r\n", b"Connection: keep-alive\r\n"),
    ]
)
_HOST = st.sampled_from(
    [b"Host: h\r\n"] * 8
    + [b"", b"Host: h\r\nHost: h\r\n", b"Host: a@b\r\n", b"host: h\r\n", b"Host: \r\n"]
)
_BODY = st.sampled_from(
    [
        *(b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"5;x=y\r\nhello\r\n0\r\n\r\n"),
        *(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"-1\r\n\r\n", b"5\nhello\n0\n\n", b"zz\r\n"),
        *(b"5\r\nhelloX0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\nhello"),
        *(b"GET /s HTTP/1.1\r\nHost: h\r\n\r\n", b"\r\n", b"00005\r\nhello\r\n000\r\n\r\n"),
    ]
)
_LINE = st.builds(
    lambda method, target, version: method + b" " + target + b" " + version + b"\r\n",
    st.sampled_from([b"GET", b"PUT", b"POST", b"HEAD"]),
    st.sampled_from([b"/", b"/v2/", b"/a?b=c", b"/%41"]),
    st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1"]),
)
_REQUEST = st.builds(
    lambda line, host, framing, body: line + host + framing + b"\r\n" + body,
    *(_LINE, _HOST, _FRAMING, _BODY),
)


@st.composite
def _bytes(draw: st.DrawFn) -> bytes:
    """Requests in a row, of which a few bytes may be changed."""
    data = bytearray(b"".join(draw(st.lists(_REQUEST, min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 2))] = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\0", b" ", b":", b"\r\n", b"\x0b", b"0", b"\xff"])
        )
    return bytes(data)


@given(_bytes(), st.sampled_from([1, 7, 10_000]))
@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize="PULLPROOF_FUZZ_MINUTES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
@example(b"GET / HTTP/1.1\r\n\r\n", 1)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 1)
@example(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 1)
@example(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 1)
def test_framing_equals_that_of_h11(data: bytes, size: int) -> None:
    ours, theirs = asyncio.run(_ours(data, size)), _theirs(data)
    count = min(len(ours.requests), len(theirs.requests))
    assert ours.requests[:count] == theirs.requests[:count]
    if ours.refused and len(ours.requests) <= len(theirs.requests):
        stricter = ours.requests != theirs.requests or not theirs.refused
        reasons = _STRICTER if stricter else None
    elif ours == theirs:
        reasons = None
    else:
        reasons = _MORE_LENIENT
    assert reasons is None or any(re.search(pattern, data) for pattern in reasons.values())
