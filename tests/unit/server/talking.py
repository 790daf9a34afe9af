"""A raw HTTP client over a socket, and ASGI applications for it to talk to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from reference_registry.config.units import ListenAddress
from reference_registry.http.asgi import Receive, Scope, Send
from reference_registry.server.listener import Listener

_TIMEOUT = 10.0


class Client:
    """One connection to a listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def answer(self, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        text = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            assert await self.reader.readline() == b"\r\n"
        elif not head_only:
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def is_left(self) -> bool:
        """Wait for the end of the connection. Whether no bytes came before it."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with method, path, query and body of the request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    said = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} ".encode() + body
    await answer(send, said)


async def answer(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"Content-Length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


def talk(app: Any, conversation: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        listener = Listener(app, ListenAddress("127.0.0.1", 0), key="http.addr")
        await listener.start()
        try:
            async with asyncio.timeout(_TIMEOUT):
                opened = await asyncio.open_connection("127.0.0.1", listener.address.port)
                try:
                    return await conversation(Client(*opened))
                finally:
                    opened[1].close()
        finally:
            await listener.stop()

    return asyncio.run(run())
