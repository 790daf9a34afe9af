"""The log and the clock of registries that run in this process."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Protocol

from reference_registry import PACKAGE
from reference_registry.clock import Clock
from reference_registry.config import Config
from reference_registry.http.hooks import ObservedExchange, Observer
from reference_registry.http.messages import Request
from reference_registry.observability.logs import AccessLog, LogFormatter, Redactor, secrets_of

_PACKAGE = logging.getLogger(PACKAGE)

_current: ContextVar[Log | None] = ContextVar("log of the current registry", default=None)


class Log(Observer):
    """The application and access log of one registry, as its command line writes it. Its
    methods as an observer are called in each request's task."""

    def __init__(self, config: Config) -> None:
        redact = Redactor(secrets_of(config))
        self.level = logging.getLevelNamesMapping()[config.log.level.upper()]
        self._formatter = LogFormatter(config.log.formatter, config.log.fields, redact)
        self._written = io.StringIO()
        self._access = None if config.log.accesslog_disabled else AccessLog(redact, self._written)

    def text(self) -> str:
        """Everything written so far."""
        return self._written.getvalue()

    def write(self, record: logging.LogRecord) -> None:
        """Add *record*, unless the configured level is above it."""
        if record.levelno >= self.level:
            self._written.write(f"{self._formatter.format(record)}\n")

    @contextmanager
    def current(self) -> Iterator[None]:
        """Within the block, records of this thread or task and of its child tasks go here."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def open(self) -> None:
        """Start to receive records."""
        _router.change(_router.logs.add, self)

    def close(self) -> None:
        """Stop receiving records."""
        _router.change(_router.logs.discard, self)

    def started(self, request: Request, handler: str | None) -> None:
        _current.set(self)
        if self._access is not None:
            self._access.started(request, handler)

    def finished(self, exchange: ObservedExchange) -> None:
        if self._access is not None:
            self._access.finished(exchange)


class _Router(logging.Handler):
    """Handles the package's records, from the lowest level of any log on, while a log is open. They
    do not propagate: the root logger, which pytest shows, would get them unredacted."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: set[Log] = set()
        self._changing = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        if (log := _current.get()) is not None:
            log.write(record)

    def change(self, edit: Callable[[Log], None], log: Log) -> None:
        """Edit :attr:`logs`, and handle records while there are any."""
        with self._changing:
            edit(log)
            _PACKAGE.addHandler(self) if self.logs else _PACKAGE.removeHandler(self)
            _PACKAGE.setLevel(min((one.level for one in self.logs), default=logging.NOTSET))
            _PACKAGE.propagate = not self.logs


_router = _Router()


class TurnableClock(Clock, Protocol):
    """A clock that a test turns."""

    def advance(self, by: timedelta) -> None:
        """Turn it forward, from any thread. ``ValueError`` for a negative *by*."""
        ...


class JumpingClock:
    """A :class:`reference_registry.clock.Clock` that runs between two turns, as the clock of a
    registry in another process does."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self._lock = threading.Lock()
        self._sleepers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, by: timedelta) -> None:
        """Turn it forward, from any thread. ``ValueError`` for a negative *by*."""
        if by < timedelta(0):
            raise ValueError(f"time only passes forward, not by {by}")
        with self._lock:
            self._ahead += by
            sleepers = list(self._sleepers)
        for loop, turned in sleepers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(turned.set)

    async def sleep_until(self, moment: datetime) -> None:
        sleeper = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._sleepers.add(sleeper)
        try:
            while (left := (moment - self.now()).total_seconds()) > 0:
                try:
                    await asyncio.wait_for(sleeper[1].wait(), min(left, 3600.0))
                except TimeoutError:
                    continue
                sleeper[1].clear()
        finally:
            with self._lock:
                self._sleepers.discard(sleeper)
