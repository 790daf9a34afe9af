"""A file's bytes into a connection without passing through this process (``sendfile(2)``)."""

from __future__ import annotations

import asyncio
import os
import select
import time
from concurrent.futures import ThreadPoolExecutor

__all__ = ["send_file"]

_THREADS = ThreadPoolExecutor(8, thread_name_prefix="sendfile")
"""A slow disk keeps one of these, and neither the event loop nor threads that others wait for."""
_TURN = 0.05
"""Seconds that one answer may have a thread before another has its turn."""
_PIECE = 4 << 20
"""Bytes of one call."""
_WAIT = 2
"""Milliseconds that a thread waits for its client. Whoever takes longer is waited for by the loop:
threads are few, but a fast client would cost more to come back to."""


async def send_file(transport: asyncio.Transport, path: str, length: int) -> None:
    """Send the first *length* bytes of the file at *path*. What was written to *transport* before
    must have left it.

    Raises ``OSError``, as where the client has left, and ``EOFError`` where the file is shorter.
    """
    loop = asyncio.get_running_loop()
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # The loop lets nobody wait for a descriptor that it has given to a transport.
        out = os.dup(transport.get_extra_info("socket").fileno())
        try:
            offset = 0
            while offset < length:
                sent = await _send_on(loop, out, file, offset, length - offset)
                offset += sent
                if sent == 0:
                    await _writable(loop, out)
        finally:
            os.close(out)
    finally:
        os.close(file)


async def _send_on(
    loop: asyncio.AbstractEventLoop, out: int, file: int, offset: int, left: int
) -> int:
    call = loop.run_in_executor(_THREADS, _send_for_a_turn, out, file, offset, left)
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait({call})  # its descriptors must stay open until then
        if not call.cancelled():
            call.exception()  # of no interest any more; asyncio logs what nobody has looked at
        raise


def _send_for_a_turn(out: int, file: int, offset: int, length: int) -> int:
    """The number of bytes that were sent; fewer than *length* where the turn is over or the client
    slow, 0 where it takes none. ``EOFError`` where the file ends."""
    ready = select.poll()
    ready.register(out, select.POLLOUT)
    sent, end = 0, time.monotonic() + _TURN
    while sent < length:
        try:
            count = os.sendfile(out, file, offset + sent, min(length - sent, _PIECE))
        except BlockingIOError:
            if time.monotonic() < end and ready.poll(_WAIT):
                continue
            break
        if count == 0:
            raise EOFError(f"the file ends {length - sent} bytes too early")
        sent += count
        if time.monotonic() >= end:
            break
    return sent


async def _writable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
