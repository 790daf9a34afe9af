"""The log of a registry in this process, kept apart from those of other registries.

A process logs to its standard error. Here several registries share :mod:`logging`: each runs in a
context with its :class:`Log`, and one handler routes each record to the log of its context.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from reference_registry import PACKAGE
from reference_registry.config import Config
from reference_registry.http.hooks import Exchange
from reference_registry.http.messages import Request
from reference_registry.observability.access_log import AccessLog
from reference_registry.observability.logs import LogFormatter
from reference_registry.observability.redaction import Redactor, secrets_of

__all__ = ["Log"]

_PACKAGE = logging.getLogger(PACKAGE)

_current: ContextVar[Log | None] = ContextVar("log of the current registry", default=None)


class Log:
    """Application and access log of one registry, written as its command line would.

    It is also a :class:`reference_registry.http.hooks.Observer`, called in each request's task.
    """

    def __init__(self, config: Config) -> None:
        redact = Redactor(secrets_of(config))
        self.level = logging.getLevelNamesMapping()[config.log.level.upper()]
        self._formatter = LogFormatter(config.log.formatter, config.log.fields, redact)
        self._written = io.StringIO()
        self._access = None if config.log.accesslog_disabled else AccessLog(redact, self._written)

    def text(self) -> str:
        """All that was written so far."""
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
        _router.add(self)

    def close(self) -> None:
        """Stop receiving records."""
        _router.remove(self)

    # -- Observer -------------------------------------------------------------------------------
    def wants(self, status: int) -> bool:
        return True

    def started(self, request: Request, handler: str | None) -> None:
        _current.set(self)
        if self._access is not None:
            self._access.started(request, handler)

    def finished(self, exchange: Exchange) -> None:
        if self._access is not None:
            self._access.finished(exchange)


class _Router(logging.Handler):
    """Handles the package's records, from the lowest level of any log on, while a log is open. They
    do not propagate: the root logger, which pytest shows, would get them unredacted."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[Log] = []
        self._changing = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        if (log := _current.get()) is not None:
            log.write(record)

    def add(self, log: Log) -> None:
        with self._changing:
            self._open.append(log)
            self._attach()

    def remove(self, log: Log) -> None:
        with self._changing:
            if log in self._open:
                self._open.remove(log)
                self._attach()

    def _attach(self) -> None:
        _PACKAGE.addHandler(self) if self._open else _PACKAGE.removeHandler(self)
        _PACKAGE.setLevel(min((log.level for log in self._open), default=logging.NOTSET))
        _PACKAGE.propagate = not self._open


_router = _Router()
