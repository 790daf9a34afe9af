"""Sending a file into a socket by ``sendfile(2)``, without copying it through this process."""

from __future__ import annotations

import asyncio
import os
import select
import time
from concurrent.futures import ThreadPoolExecutor

__all__ = ["send_file"]

_THREADS = ThreadPoolExecutor(8, thread_name_prefix="sendfile")
"""Threads of their own, so that a slow disk blocks neither the event loop nor other work."""
_TURN = 0.05
"""Seconds that one response may use a thread before another response gets it."""
_PIECE = 4 << 20
"""Bytes per ``sendfile`` call."""
_WAIT = 2
"""Milliseconds that a thread waits for a socket to become writable. After that the event loop
waits: threads are few, but going through the loop costs more for a fast client."""


async def send_file(transport: asyncio.Transport, path: str, length: int) -> None:
    """Send the first *length* bytes of the file at *path*. The buffer of *transport* must be empty.

    Raises ``OSError``, for example if the client has disconnected, and ``EOFError`` if the file is
    shorter than *length*.
    """
    loop = asyncio.get_running_loop()
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # asyncio refuses add_writer for a descriptor that a transport uses, so use a duplicate.
        out = os.dup(transport.get_extra_info("socket").fileno())
        try:
            offset = 0
            while offset < length:
                sent = await _send_turn(loop, out, file, offset, length - offset)
                offset += sent
                if sent == 0:
                    await _writable(loop, out)
        finally:
            os.close(out)
    finally:
        os.close(file)


async def _send_turn(
    loop: asyncio.AbstractEventLoop, out: int, file: int, offset: int, left: int
) -> int:
    call = loop.run_in_executor(_THREADS, _send_in_thread, out, file, offset, left)
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait({call})  # its descriptors must stay open until then
        if not call.cancelled():
            call.exception()  # mark it as retrieved, or asyncio logs it
        raise


def _send_in_thread(out: int, file: int, offset: int, length: int) -> int:
    """Send for at most one turn. Returns the number of bytes sent, 0 if the socket takes none.
    Raises ``EOFError`` if the file ends."""
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
