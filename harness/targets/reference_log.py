"""What a registry in this process logs, kept apart from what its neighbours log.

A process's log goes to its standard error; here several registries share one :mod:`logging`. Each
runs in a context that names its :class:`Log`, and one handler sorts the records by it.
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

_speaking: ContextVar[Log | None] = ContextVar("log of the registry that runs here", default=None)


class Log:
    """Application and access log of one registry, written as its command line would.

    It is an :class:`reference_registry.http.hooks.Observer` too: the server tells it of each
    request, in the task of that request.
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
    def speaking(self) -> Iterator[None]:
        """Within, records of the current thread or task, and of tasks begun by it, go here."""
        token = _speaking.set(self)
        try:
            yield
        finally:
            _speaking.reset(token)

    def open(self) -> None:
        """Begin to listen; :meth:`close` ends it."""
        _sorter.add(self)

    def close(self) -> None:
        """Stop listening."""
        _sorter.remove(self)

    # -- Observer -------------------------------------------------------------------------------
    def minds(self, status: int) -> bool:
        return True

    def started(self, request: Request, handler: str | None) -> None:
        _speaking.set(self)
        if self._access is not None:
            self._access.started(request, handler)

    def finished(self, exchange: Exchange) -> None:
        if self._access is not None:
            self._access.finished(exchange)


class _Sorter(logging.Handler):
    """Takes the package's records, from the lowest level wanted on, while a log is open. They go
    nowhere else meanwhile: the root logger, which pytest shows, would get them unredacted."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[Log] = []
        self._changing = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        if (log := _speaking.get()) is not None:
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


_sorter = _Sorter()
