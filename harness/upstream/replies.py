"""Answers as values, and how one is sent.

The head says how the body is framed: with ``Transfer-Encoding: chunked`` the body goes out in
chunks, with ``Content-Length`` as it is, with neither until the connection closes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from harness.content import CHUNK, Blob
from harness.upstream.calls import Headers, RegistryCall
from harness.upstream.connection import ClientLeft, Connection
from harness.upstream.ledger import Record


@dataclass(frozen=True)
class Body:
    """The part ``[start, stop)`` of a blob; ``corrupt`` makes all bytes wrong ones."""

    blob: Blob
    start: int = 0
    stop: int | None = None
    corrupt: bool = False

    @property
    def size(self) -> int:
        """In bytes."""
        return (self.blob.size if self.stop is None else self.stop) - self.start

    def chunks(self, start: int, stop: int, piece: int = CHUNK) -> Iterator[bytes | memoryview]:
        """The bytes ``[start, stop)`` of this body, at most *piece* at a time."""
        for chunk in self.blob.chunks(self.start + start, self.start + stop):
            view = memoryview(chunk)
            for offset in range(0, len(view), piece):
                part = view[offset : offset + piece]
                # Every bit the other way round, so that no part of the content is right.
                yield bytes(part).translate(_FLIPPED) if self.corrupt else part


_FLIPPED = bytes(range(255, -1, -1))


NO_BODY = Body(Blob(b""))


@dataclass(frozen=True)
class Hang:
    """Silence after ``after`` bytes of the body (None: before the head) until ``passed()``
    returns."""

    after: int | None
    passed: Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Cut:
    """The connection ends after ``after`` bytes of the body (None: before the head): by a TCP
    reset, or by an orderly close if it is ``in_order``."""

    after: int | None
    in_order: bool = False


@dataclass(frozen=True)
class Reply:
    """One answer, status, header lines in order and body, and how it is sent."""

    status: int
    headers: Headers = ()
    body: Body = NO_BODY
    raw: bytes | None = None
    """Bytes to send instead of an answer."""
    delay: float = 0.0
    """Seconds before the answer starts."""
    bytes_per_second: float | None = None
    hang: Hang | None = None
    cut: Cut | None = None

    def header(self, name: str) -> str | None:
        """The first header line called *name*, in any case, or None."""
        return next((v for key, v in self.headers if key.lower() == name.lower()), None)

    def with_headers(self, changes: Mapping[str, str | None]) -> Reply:
        """The same answer with each header of *changes* set, or dropped if it is None."""
        names = {name.lower() for name in changes}
        kept = tuple(line for line in self.headers if line[0].lower() not in names)
        new = tuple((name, value) for name, value in changes.items() if value is not None)
        return replace(self, headers=kept + new)


def json_reply(
    status: int, document: Any, headers: Headers = (), *, media_type: str = "application/json"
) -> Reply:
    """*document* as the body."""
    body = Body(Blob(json.dumps(document, separators=(",", ":")).encode()))
    head = (("Content-Type", media_type), ("Content-Length", str(body.size)), *headers)
    return Reply(status, head, body)


def error_reply(
    status: int, code: str, message: str, detail: Any = None, headers: Headers = ()
) -> Reply:
    """An error body as in OCI distribution-spec, section "Error Codes"."""
    entry = {"code": code, "message": message}
    return json_reply(
        status, {"errors": [entry if detail is None else entry | {"detail": detail}]}, headers
    )


_TICK = 0.05
"""Seconds between two pieces of a throttled body."""


async def send(connection: Connection, call: RegistryCall, reply: Reply, record: Record) -> bool:
    """Send *reply*; True where the connection can take another request.

    Everything is noted in *record* before it is sent. Raises ``ClientLeft`` if the client closes
    the connection first.
    """
    try:
        return await _Transmission(connection, call, reply, record).run()
    except ClientLeft:
        record.note(outcome="client left")
        raise
    except asyncio.CancelledError:
        record.note(outcome="cut")
        raise


class _Transmission:
    def __init__(
        self, connection: Connection, call: RegistryCall, reply: Reply, record: Record
    ) -> None:
        self._connection = connection
        self._reply = reply
        self._record = record
        bodiless = call.method == "HEAD" or reply.status in {204, 304} or reply.status < 200
        self._size = 0 if bodiless else reply.body.size
        encoding = (reply.header("transfer-encoding") or "").lower()
        self._chunked = not bodiless and encoding == "chunked"
        # Without a true length only the end of the connection ends the body.
        self._framed = (
            bodiless or self._chunked or reply.header("content-length") == str(self._size)
        )

    async def run(self) -> bool:
        reply, hang, cut = self._reply, self._reply.hang, self._reply.cut
        if reply.delay:
            await self._connection.unless_gone(asyncio.sleep(reply.delay))
        if hang is not None and hang.after is None:
            await self._connection.unless_gone(hang.passed())
        if reply.raw is not None:
            self._record.note(outcome="complete")
            await self._connection.write(reply.raw)
            return False
        if cut is not None and cut.after is None:
            return await self._cut(cut)
        end = self._size if cut is None or cut.after is None else min(cut.after, self._size)
        await self._send_head(last=end == 0 and cut is None and hang is None)
        if hang is not None and hang.after is not None:
            middle = min(hang.after, end)
            await self._send_body(0, middle, last=False)
            await self._connection.unless_gone(hang.passed())
            await self._send_body(middle, end, last=cut is None)
        else:
            await self._send_body(0, end, last=cut is None)
        if cut is not None:
            return await self._cut(cut)
        self._record.note(outcome="complete")
        if self._chunked:
            await self._connection.write(b"0\r\n\r\n")
        return self._framed

    async def _cut(self, cut: Cut) -> bool:
        self._record.note(outcome="cut")
        await (self._connection.close() if cut.in_order else self._connection.reset())
        return False

    async def _send_head(self, *, last: bool) -> None:
        reply = self._reply
        self._record.note(status=reply.status, outcome="complete" if last else None)
        lines = [f"HTTP/1.1 {reply.status} {_reason(reply.status)}"]
        if reply.header("date") is None:
            lines.append(f"Date: {formatdate(usegmt=True)}")
        lines += [f"{name}: {value}" for name, value in reply.headers]
        if not self._framed and reply.header("connection") is None:
            lines.append("Connection: close")
        await self._connection.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def _send_body(self, start: int, stop: int, *, last: bool) -> None:
        """The bytes ``[start, stop)``; *last* if they complete the answer."""
        rate = self._reply.bytes_per_second
        piece = CHUNK if rate is None else max(1, min(CHUNK, int(rate * _TICK)))
        for chunk in self._reply.body.chunks(start, stop, piece):
            if rate is not None:
                await self._connection.unless_gone(asyncio.sleep(len(chunk) / rate))
            start += len(chunk)
            ends = last and start == stop and not self._chunked
            self._record.note(sent=len(chunk), outcome="complete" if ends else None)
            if self._chunked:
                await self._connection.write(b"%x\r\n%b\r\n" % (len(chunk), bytes(chunk)))
            else:
                await self._connection.write(chunk)
            # Nothing above yields to other tasks as long as the kernel takes everything.
            await asyncio.sleep(0)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
