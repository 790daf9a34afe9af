"""Translates ASGI messages into the requests and responses that handlers use, and back.

A blob in a file goes to the server as ``http.response.pathsend``
(https://asgi.readthedocs.io/en/latest/extensions.html#path-send) if the server supports that, so
that its bytes are never copied into Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from reference_registry.http.errors import UNKNOWN, RegistryError
from reference_registry.http.messages import (
    BytesBody,
    ClientGone,
    FileBody,
    Request,
    Response,
    StreamBody,
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

PATHSEND = "http.response.pathsend"
STILL_VALID = "pullproof.still_valid"
"""Our own ASGI extension: ``http.response.start`` may have a ``still_valid``, a function that says
whether the server may repeat the response to a client that sends the same request."""
_USUAL = 128
"""Characters of a header whose conversion is cached."""
_WITHOUT_LENGTH = frozenset({204, 304})
"""Statuses whose responses have no content and no Content-Length (RFC 9110, 8.6)."""


class RequestBody:
    """The chunks of a request body, which can be read once. ``received`` counts bytes.

    A client that sends nothing for *timeout* seconds gets 408 (RFC 9110, 15.5.9), raised as a
    :class:`RegistryError`; None means no limit.
    """

    def __init__(self, receive: Receive, timeout: float | None = None) -> None:
        self._receive = receive
        self._timeout = timeout
        self._done = False
        self.received = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._done:
            try:
                async with asyncio.timeout(self._timeout):
                    message = await self._receive()
            except TimeoutError:
                self._done = True
                error = UNKNOWN(f"no request body received for {self._timeout:g} seconds")
                raise RegistryError(408, error.entries, (("Connection", "close"),)) from None
            if message["type"] == "http.disconnect":
                self._done = True
                raise ClientGone
            self._done = not message.get("more_body", False)
            chunk: bytes = message.get("body", b"")
            if chunk:
                self.received += len(chunk)
                return chunk
        raise StopAsyncIteration


def read_request(
    scope: Scope, receive: Receive, timeout: float | None = None
) -> tuple[Request, RequestBody]:
    """The request that *scope* describes, with its path percent-decoded. *timeout*: see
    :class:`RequestBody`."""
    lines: dict[str, tuple[str, ...]] = {}
    for raw_name, raw_value in scope["headers"]:
        known = len(raw_name) <= _USUAL
        name = _decoded(raw_name) if known else _decoded.__wrapped__(raw_name)
        value = raw_value.decode("latin-1")
        lines[name] = (*lines[name], value) if name in lines else (value,)
    body = RequestBody(receive, timeout)
    client = scope.get("client")
    target: bytes = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    request = Request(
        method=scope["method"],
        path=scope["path"],
        query_string=scope["query_string"].decode("latin-1"),
        headers=lines,
        scheme=scope.get("scheme", "http"),
        body=body,
        remote_address=f"{client[0]}:{client[1]}" if client else "",
        target=target.decode("latin-1"),
        http_version=scope.get("http_version", "1.1"),
    )
    return request, body


@lru_cache(maxsize=256)
def _decoded(name: bytes) -> str:
    return name.decode("latin-1").lower()


class ResponseSender:
    """Sends one response. ``sent`` counts the body bytes handed over so far."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._head_only = scope["method"] == "HEAD"
        extensions = scope.get("extensions") or {}
        self._sends_paths = PATHSEND in extensions
        self._repeats = STILL_VALID in extensions
        self._receive = receive
        self._send = send
        self.sent = 0

    async def send(
        self,
        response: Response,
        still_valid: Callable[[tuple[str, int] | None], bool] | None = None,
    ) -> None:
        """Send *response*. *still_valid* says whether a client (address and port) that sends the
        same request may get the same response; servers without that extension ignore it.

        Raises :class:`ClientGone` if the client disconnects during the body, and whatever the
        body's chunks raise, upon which the server cuts the connection."""
        headers = [
            _encoded(header) if len(header[1]) <= _USUAL else _encoded.__wrapped__(header)
            for header in _with_length(response)
        ]
        start = {"type": "http.response.start", "status": response.status, "headers": headers}
        if still_valid is not None and self._repeats:
            start["still_valid"] = still_valid
        await self._send(start)
        body = response.body
        if self._head_only or response.status in _WITHOUT_LENGTH:
            await self._chunk(b"", more=False)
        elif isinstance(body, BytesBody):
            await self._chunk(body.content, more=False)
        elif isinstance(body, FileBody) and body.whole and self._sends_paths:
            await self._send({"type": PATHSEND, "path": str(body.path)})
            self.sent += body.length
        else:
            await self._unless_gone(self._pump(body.chunks))

    async def _pump(self, chunks: AsyncIterator[bytes]) -> None:
        # Sends the head now: a server may wait for the first body message.
        await self._chunk(b"", more=True)
        try:
            async for chunk in chunks:
                await self._chunk(chunk, more=True)
        finally:
            if isinstance(chunks, AsyncGenerator):  # not when it is garbage-collected
                await chunks.aclose()
        await self._chunk(b"", more=False)

    async def _chunk(self, chunk: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})
        self.sent += len(chunk)

    async def _unless_gone(self, work: Awaitable[None]) -> None:
        """Do *work*, but stop when the client disconnects, which ``send`` need not report."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._disconnection())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientGone
            working.result()
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    async def _disconnection(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


@lru_cache(maxsize=1024)
def _encoded(header: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = header
    return name.encode("latin-1"), value.encode("latin-1")


def _with_length(response: Response) -> tuple[tuple[str, str], ...]:
    """The headers, with a Content-Length added if it is known and missing."""
    headers, body = response.headers, response.body
    if (
        isinstance(body, StreamBody)
        or response.status in _WITHOUT_LENGTH
        or response.header("Content-Length") is not None
    ):
        return headers
    length = len(body.content) if isinstance(body, BytesBody) else body.length
    return (*headers, ("Content-Length", str(length)))
