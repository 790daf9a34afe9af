"""A proxy in this process, asked over ASGI by a client that can stop reading and leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from reference_registry.app import Application, create_app
from reference_registry.clock import ManualClock
from reference_registry.config import (
    CacheConfig,
    Config,
    HttpConfig,
    ProxyConfig,
    StorageConfig,
)
from reference_registry.counters import Counters
from reference_registry.profiles import profile_named
from reference_registry.proxy.registry import ProxyRegistry
from reference_registry.storage.repository import LocalRepository
from tests.support.upstream_double import URL, UpstreamDouble


@dataclass
class Answer:
    """What a client has of an answer. ``cut`` means that the connection broke in mid-body."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    cut: bool = False

    def json(self) -> Any:
        import json

        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json()["errors"][0]["code"])

    @property
    def detail(self) -> Any:
        return self.json()["errors"][0].get("detail")


@dataclass
class Exchange:
    """One request that is being answered."""

    task: asyncio.Task[None]
    messages: asyncio.Queue[dict[str, Any] | None]
    left: asyncio.Event
    answer: Answer | None = None
    credit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def start(self) -> Answer:
        """Status and headers; ``ConnectionResetError`` where none come."""
        message = await self._message()
        if message is None:
            raise ConnectionResetError("closed without an answer") from self.task.exception()
        assert message["type"] == "http.response.start"
        headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        self.answer = Answer(message["status"], headers)
        return self.answer

    async def read(self, count: int | None = None) -> bytes:
        """The next *count* bytes at least, or all."""
        assert self.answer is not None
        got = b""
        while count is None or len(got) < count:
            message = await self._message()
            if message is None:
                break
            if message["type"] == "http.response.pathsend":
                got += Path(message["path"]).read_bytes()  # noqa: ASYNC240
                break
            got += message.get("body", b"")
            if not message.get("more_body", False):
                break
        self.answer.body += got
        if self.task.done() and not self.task.cancelled():
            self.answer.cut = self.task.exception() is not None
        return got

    async def _message(self) -> dict[str, Any] | None:
        self.credit.release()
        getting = asyncio.ensure_future(self.messages.get())
        async with asyncio.timeout(60):
            await asyncio.wait({getting, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        if not self.messages.empty():
            return await getting
        getting.cancel()
        return None


class Proxy:
    """A cache of *upstream* in *root*. Made and used inside of one event loop."""

    def __init__(
        self,
        upstream: UpstreamDouble,
        root: Path,
        profile: str = "ideal",
        *,
        clock: ManualClock | None = None,
        delete_enabled: bool = False,
        draintimeout: timedelta | None = None,
        cache: CacheConfig | None = None,
        **proxy: Any,
    ) -> None:
        self.upstream = upstream
        self.root = root
        self.clock = clock or ManualClock()
        config = Config(
            storage=StorageConfig(
                rootdirectory=root, delete_enabled=delete_enabled, cache=cache or CacheConfig()
            ),
            http=HttpConfig(secret="s3cret", draintimeout=draintimeout),
            proxy=ProxyConfig(**{"remoteurl": URL, **proxy}),
        )
        self.app: Application = create_app(
            config,
            profile=profile_named(profile),
            clock=self.clock,
            upstream=upstream.transport,
        )
        assert isinstance(self.app.registry, ProxyRegistry)
        self.registry = self.app.registry

    @property
    def counters(self) -> Counters:
        return self.registry.counters

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """Started, and stopped afterwards. What the start asked of upstream is forgotten."""
        await self.app.start()
        self.upstream.clear()
        try:
            yield self
        finally:
            await self.app.stop()

    # -- requests ---------------------------------------------------------------------------------
    def open(self, method: str, path: str, **headers: str) -> Exchange:
        """Begin a request; header names with underscores for hyphens."""
        path, _, query = path.partition("?")
        exchange = Exchange(
            asyncio.ensure_future(asyncio.sleep(0)), asyncio.Queue(), asyncio.Event()
        )

        async def receive() -> dict[str, Any]:
            if not requested.is_set():
                requested.set()
                return {"type": "http.request", "body": b"", "more_body": False}
            await exchange.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await exchange.credit.acquire()
            if not exchange.left.is_set():
                exchange.messages.put_nowait(message)

        requested = asyncio.Event()
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "http_version": "1.1",
            "headers": [
                (name.replace("_", "-").lower().encode(), value.encode())
                for name, value in {"host": "cache.test", **headers}.items()
            ],
            "scheme": "http",
            "client": ("127.0.0.1", 4711),
            "extensions": {"http.response.pathsend": {}},
        }
        exchange.task = asyncio.create_task(self.app(scope, receive, send))
        return exchange

    async def ask(self, method: str, path: str, **headers: str) -> Answer:
        """The whole answer."""
        exchange = self.open(method, path, **headers)
        answer = await exchange.start()
        await exchange.read()
        # The body may be complete before the application has done what it does afterwards.
        with contextlib.suppress(Exception):
            await exchange.task
        return answer

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, **headers)

    async def head(self, path: str, **headers: str) -> Answer:
        return await self.ask("HEAD", path, **headers)

    async def settled(self) -> None:
        """Nothing is being fetched in the background any more."""
        await self.registry.settled()

    def local(self, name: str) -> LocalRepository:
        """The cache side of a repository."""
        return self.registry.local.repository(name)

    # -- disk -------------------------------------------------------------------------------------
    def files(self) -> list[str]:
        """All files below ``docker/registry/v2``, sorted."""
        base = self.root / "docker/registry/v2"
        return sorted(str(p.relative_to(base)) for p in base.rglob("*") if p.is_file())

    def holds(self, part: str) -> bool:
        return any(part in file for file in self.files())

    def uploads(self) -> list[str]:
        return [file for file in self.files() if "/_uploads/" in file]

    @property
    def scheduled(self) -> dict[str, int]:
        """Keys of the schedule, with the kind of each."""
        assert self.registry.expiry is not None
        return {entry.key: entry.kind for entry in self.registry.expiry.entries}

    def state(self) -> bytes | None:
        path = self.root / "scheduler-state.json"
        return path.read_bytes() if path.exists() else None
