"""Each request in the application's log, and its id in every line that is logged on its behalf.

Field names are distribution's. What went well is logged at ``debug``: the access log has it too.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from contextvars import ContextVar
from datetime import timedelta

from reference_registry.config.units import format_duration
from reference_registry.http.hooks import Exchange
from reference_registry.http.messages import Request

__all__ = ["RequestLog", "current_request_id"]

_log = logging.getLogger(__name__)

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)
"""The id of the request that the running task answers."""


class RequestLog:
    """Implements :class:`reference_registry.http.hooks.Observer`."""

    def __init__(self) -> None:
        # Unique among processes without asking the system for randomness each time.
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def wants(self, status: int) -> bool:
        return _log.isEnabledFor(_level(status))

    def started(self, request: Request, handler: str | None) -> None:
        current_request_id.set(f"{self._prefix}-{next(self._numbers):06x}")

    def finished(self, exchange: Exchange) -> None:
        level = _level(exchange.status, complete=exchange.complete)
        if not _log.isEnabledFor(level):
            return
        request = exchange.request
        fields = {
            "http.request.method": request.method,
            "http.request.uri": request.target,
            "http.request.remoteaddr": request.remote_address,
            "http.request.host": request.header("host") or "",
            "http.request.useragent": request.header("user-agent") or "",
            "http.response.status": exchange.status,
            "http.response.written": exchange.sent,
            "http.response.duration": format_duration(timedelta(seconds=exchange.seconds)),
        }
        if not exchange.complete:
            message = "response broken off"
        elif exchange.status >= 400:
            message = "response completed with error"
        else:
            message = "response completed"
        _log.log(level, message, extra={"fields": {k: v for k, v in fields.items() if v != ""}})


def _level(status: int, *, complete: bool = True) -> int:
    if status >= 500:
        return logging.ERROR
    return logging.INFO if status >= 400 or not complete else logging.DEBUG
