"""Send one answer over a connection, with the faults of its delivery."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from http import HTTPStatus

from harness.content import CHUNK
from harness.upstream.calls import Call
from harness.upstream.connection import ClientLeft, Connection
from harness.upstream.faults import Delivery, Reset
from harness.upstream.ledger import Record
from harness.upstream.replies import Reply

__all__ = ["send"]

_TICK = 0.05
"""Seconds between two pieces of a throttled body."""


async def send(
    connection: Connection, call: Call, reply: Reply, delivery: Delivery, record: Record
) -> bool:
    """Send *reply*; True where the connection can take another request.

    Everything is noted in *record* before it is sent. Raises ``ClientLeft`` if the client closes
    the connection first.
    """
    try:
        return await _Transmission(connection, call, reply, delivery, record).run()
    except ClientLeft:
        record.note(outcome="client left")
        raise
    except asyncio.CancelledError:
        record.note(outcome="cut")
        raise


class _Transmission:
    def __init__(
        self, connection: Connection, call: Call, reply: Reply, delivery: Delivery, record: Record
    ) -> None:
        self._connection = connection
        self._reply = reply
        self._delivery = delivery
        self._record = record
        bodiless = call.method == "HEAD" or reply.status in {204, 304} or reply.status < 200
        self._size = 0 if bodiless else reply.body.size
        self._chunked = not bodiless and _is_chunked(reply)
        # Without a true length only the end of the connection ends the body.
        self._framed = (
            bodiless or self._chunked or reply.header("content-length") == str(self._size)
        )

    async def run(self) -> bool:
        delivery, hang, cut = self._delivery, self._delivery.hang, self._delivery.cut
        if delivery.delay:
            await self._connection.unless_gone(asyncio.sleep(delivery.delay))
        if hang is not None and hang.after is None:
            await self._connection.unless_gone(hang.gate.passed())
        if delivery.raw is not None:
            self._record.note(outcome="complete")
            await self._connection.write(delivery.raw)
            return False
        if cut is not None and cut.after is None:
            return await self._cut(cut)
        end = self._size if cut is None or cut.after is None else min(cut.after, self._size)
        await self._send_head(last=end == 0 and cut is None and hang is None)
        if hang is not None and hang.after is not None:
            middle = min(hang.after, end)
            await self._send_body(0, middle, last=False)
            await self._connection.unless_gone(hang.gate.passed())
            await self._send_body(middle, end, last=cut is None)
        else:
            await self._send_body(0, end, last=cut is None)
        if cut is not None:
            return await self._cut(cut)
        self._record.note(outcome="complete")
        if self._chunked:
            await self._connection.write(b"0\r\n\r\n")
        return self._framed

    async def _cut(self, cut: Reset) -> bool:
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
        rate = self._delivery.bytes_per_second
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


def _is_chunked(reply: Reply) -> bool:
    return (reply.header("transfer-encoding") or "").lower() == "chunked"


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
