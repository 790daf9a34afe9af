"""A scripted upstream registry behind ``httpx.MockTransport``: content, a ledger, and responses
that can be scripted and held back in mid-body."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import httpx

from harness.content import Manifest

URL = "http://registry.example"

Answer = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class Pieces(httpx.AsyncByteStream):
    """A body in pieces. An event in between is waited for, an exception is raised."""

    def __init__(self, *pieces: bytes | asyncio.Event | Exception) -> None:
        self._pieces = pieces
        self.taken = 0
        """How many have been dealt with."""
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            elif isinstance(piece, Exception):
                raise piece
            else:
                yield piece
            self.taken += 1

    async def aclose(self) -> None:
        self.closed = True


def broken() -> Exception:
    """What httpx raises where a body ends before its Content-Length."""
    return httpx.RemoteProtocolError("peer closed connection without sending complete message body")


class UpstreamDouble:
    """``lines`` is the ledger: ``"HEAD /v2/team/app/manifests/v1"``."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.down = False
        self.challenge: str | None = None
        """What an unauthenticated request is answered with, as 401."""
        self._content: dict[str, tuple[str, bytes, str]] = {}
        self._tags: dict[str, list[str]] = {}
        self._scripted: dict[str, list[Answer]] = {}
        self.transport = httpx.MockTransport(self._answer)

    # -- content ----------------------------------------------------------------------------------
    def add(self, repository: str, manifest: Manifest, *tags: str) -> None:
        for child in manifest.children:
            self.add(repository, child)
        for blob in manifest.blobs:
            self.add_blob(repository, blob.content, blob.digest)
        for reference in (manifest.digest, *tags):
            path = f"/v2/{repository}/manifests/{reference}"
            self._content[path] = (manifest.media_type, manifest.content, manifest.digest)
        known = self._tags.setdefault(repository, [])
        known += [tag for tag in tags if tag not in known]

    def add_blob(self, repository: str, content: bytes, digest: str) -> None:
        path = f"/v2/{repository}/blobs/{digest}"
        self._content[path] = ("application/octet-stream", content, digest)

    def remove(self, path: str) -> None:
        del self._content[path]

    # -- script -----------------------------------------------------------------------------------
    def on(self, line: str, *answers: Answer | httpx.Response | int) -> None:
        """Script the responses to the next requests of *line*; the last one repeats. ``*`` stands
        for any method."""
        self._scripted[line] = [_as_answer(answer) for answer in answers]

    # -- ledger -----------------------------------------------------------------------------------
    @property
    def lines(self) -> list[str]:
        return [f"{r.method} {r.url.raw_path.decode()}" for r in self.requests]

    def count(self) -> Counter[str]:
        return Counter(self.lines)

    def asked(self, method: str, part: str = "") -> list[httpx.Request]:
        return [r for r in self.requests if r.method == method and part in r.url.path]

    def clear(self) -> None:
        self.requests.clear()

    # -- answering --------------------------------------------------------------------------------
    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused", request=request) from ConnectionRefusedError(
                111, "Connection refused"
            )
        self.requests.append(request)
        path = request.url.raw_path.decode()
        for line in (f"{request.method} {path}", f"* {path}", f"* {request.url.path}"):
            if answers := self._scripted.get(line):
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                answered = answer(request)
                return await answered if inspect.isawaitable(answered) else answered
        if self.challenge is not None and "authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": self.challenge})
        return self.stored(request)

    def stored(self, request: httpx.Request) -> httpx.Response:
        """The response without any script."""
        path = request.url.path
        if path == "/v2/":
            return httpx.Response(200, json={})
        if path.endswith("/tags/list"):
            repository = path.removeprefix("/v2/").removesuffix("/tags/list")
            if repository in self._tags:
                return httpx.Response(200, json={"name": repository, "tags": self.tags(repository)})
        if path in self._content:
            return self._content_response(request, *self._content[path])
        code = "MANIFEST_UNKNOWN" if "/manifests/" in path else "BLOB_UNKNOWN"
        error = {"code": code, "message": code.lower().replace("_", " ")}
        return httpx.Response(404, json={"errors": [error]})

    def tags(self, repository: str) -> Sequence[str]:
        return sorted(self._tags[repository])

    def _content_response(
        self, request: httpx.Request, media_type: str, content: bytes, digest: str
    ) -> httpx.Response:
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
        if request.method == "HEAD":
            return httpx.Response(200, headers={**headers, "Content-Length": str(len(content))})
        wanted = request.headers.get("range", "")
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last or len(content) - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
            return httpx.Response(206, headers=headers, content=content[start:end])
        return httpx.Response(200, headers=headers, content=content)


def _as_answer(answer: Answer | httpx.Response | int) -> Answer:
    if isinstance(answer, int):
        return lambda _: httpx.Response(answer)
    if isinstance(answer, httpx.Response):
        return lambda _: answer
    return answer
