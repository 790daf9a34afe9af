"""The access log, on standard output: Apache's combined format, as distribution writes it.

https://httpd.apache.org/docs/2.4/logs.html#combined. The field for the user is always ``-``.
"""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import datetime
from typing import TextIO

from reference_registry.http.hooks import Exchange
from reference_registry.http.messages import Request
from reference_registry.observability.redaction import Redactor

__all__ = ["AccessLog"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE = re.compile(r'[\x00-\x1f"\\\x7f-\x9f]')


class AccessLog:
    """Implements :class:`reference_registry.http.hooks.Observer`.

    Lines are written when the event loop comes round next, so that requests that end together cost
    one write.
    """

    def __init__(self, redact: Redactor, stream: TextIO | None = None) -> None:
        self._redact = redact
        self._stream = stream or sys.stdout
        self._lines: list[str] = []
        self._second = (-1, "")

    def wants(self, status: int) -> bool:
        return True

    def started(self, request: Request, handler: str | None) -> None:
        pass

    def finished(self, exchange: Exchange) -> None:
        request = exchange.request
        target = self._redact(request.target) if "?" in request.target else request.target
        host = request.remote_address.rpartition(":")[0] or request.remote_address or "-"
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(
            f"{host.strip('[]')} - - [{self._moment(exchange.started)}] "
            f'"{request.method} {_safe(target)} HTTP/{request.http_version}" '
            f"{exchange.status} {exchange.sent} "
            f'"{_safe(request.header("referer") or "")}" '
            f'"{_safe(request.header("user-agent") or "")}"\n'
        )

    def flush(self) -> None:
        """Write what is waiting. What cannot be written is lost: pulls go on with a full disk."""
        lines, self._lines = "".join(self._lines), []
        try:
            self._stream.write(lines)
            self._stream.flush()
        except (OSError, ValueError):
            pass

    def _moment(self, moment: datetime) -> str:
        second = int(moment.timestamp())
        if second != self._second[0]:
            month = _MONTHS[moment.month - 1]
            self._second = (second, f"{moment:%d}/{month}/{moment:%Y:%H:%M:%S} +0000")
        return self._second[1]


def _safe(text: str) -> str:
    """*text* so that it can neither end its quotes nor begin a new line."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text) if text else ""
