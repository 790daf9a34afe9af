"""A file's bytes into a connection without passing through this process (``sendfile(2)``)."""

from __future__ import annotations

import asyncio
import os

__all__ = ["send_file"]

_PIECE = 4 << 20
"""Bytes for one call: a slow disk keeps a thread that long, and the event loop not at all."""


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
                try:
                    sent = await _send_piece(loop, out, file, offset, length - offset)
                except BlockingIOError:
                    await _writable(loop, out)
                    continue
                if sent == 0:
                    raise EOFError(f"{path} ends {length - offset} bytes too early")
                offset += sent
        finally:
            os.close(out)
    finally:
        os.close(file)


async def _send_piece(
    loop: asyncio.AbstractEventLoop, out: int, file: int, offset: int, left: int
) -> int:
    call = loop.run_in_executor(None, os.sendfile, out, file, offset, min(left, _PIECE))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait({call})  # its descriptors must stay open until then
        raise


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
