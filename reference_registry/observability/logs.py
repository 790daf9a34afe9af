"""The application's log on standard error, the access log on standard output, both redacted.

The application's log is as distribution's logrus writes it: ``text`` is ``time="..." level=info
msg="..." key=value``, ``json`` one object a line, ``logstash`` the same under Logstash's names.
Structured fields come as ``extra={"fields": {...}}``; each line also has the fields of
``log.fields`` and, while a request is answered, its id.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import secrets
import sys
import uuid
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from reference_registry import PACKAGE, __version__
from reference_registry.config import Config
from reference_registry.config.proxy import upstreams_of
from reference_registry.config.units import format_duration
from reference_registry.http.hooks import ObservedExchange, Observer
from reference_registry.http.messages import Request

_log = logging.getLogger(__name__)


# -- redaction ----------------------------------------------------------------------------------
REDACTED = "[redacted]"
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})

_PATTERNS = (
    # Authorization: Basic dXNlcjpwdw==
    (re.compile(r"\b((?i:basic|bearer))\s+(?=\S*[A-Z0-9=])[\w+/=.~-]{4,}"), rf"\1 {REDACTED}"),
    # https://user:password@host
    (re.compile(r"(://)[^/@\s\"']*@"), rf"\1{REDACTED}@"),
    # ?token=..., "access_token":"...", X-Amz-Signature=...
    (
        re.compile(
            r"(?i)((?:access_|refresh_|identity_|id_)?token|password|secret|signature|sig)"
            r"([\"']?\s*[=:]\s*[\"']?)[^\s&\"',;}]+"
        ),
        rf"\1\2{REDACTED}",
    ),
)
_MARKS = re.compile(r"basic|bearer|@|token|password|secret|sig", re.IGNORECASE)
_SHORTEST = 6  # characters of a literal secret; shorter ones would make words unreadable


class Redactor:
    """Replaces credentials by ``[redacted]``: what looks like one, and *literals* wherever they
    occur."""

    def __init__(self, literals: Iterable[str] = ()) -> None:
        known = sorted({text for text in literals if len(text) >= _SHORTEST}, key=len, reverse=True)
        self._literals = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._literals is not None:
            text = self._literals.sub(REDACTED, text)
        if _MARKS.search(text):
            for pattern, replacement in _PATTERNS:
                text = pattern.sub(replacement, text)
        return text


def secrets_of(config: Config) -> list[str]:
    """The passwords and keys that *config* holds."""
    found = [config.http.secret]
    if config.proxy is not None:
        found.extend(upstream.password for _, _, upstream in upstreams_of(config.proxy))
    if config.redis is not None:
        found.append(config.redis.password)
    for check in config.health.checks:
        for name, values in check.headers.items():
            if name.lower() in SECRET_HEADERS:
                found.extend(values)
    return [secret for secret in found if secret]


# -- the application's log ----------------------------------------------------------------------
_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
# logrus writes a value bare that is made of these alone.
_BARE = re.compile(r"[A-Za-z0-9\-._/@^+]+")
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that the running task answers."""


class LogFormatter(logging.Formatter):
    """Renders a record in one of distribution's three formats, without credentials."""

    def __init__(self, kind: str, fields: Mapping[str, object], redact: Redactor) -> None:
        super().__init__()
        self._kind = kind
        self._fields = dict(fields)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        time, level = moment.replace("+00:00", "Z"), record.levelname.lower()
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        message = self._redact(message)
        given: dict[str, Any] = {**self._fields, **getattr(record, "fields", {})}
        request_id = _request_id.get()
        if request_id is not None:
            given["http.request.id"] = request_id
        fields = {k: self._redact(v) if isinstance(v, str) else v for k, v in given.items()}
        if self._kind == "text":
            parts = [f'time="{time}"', f"level={level}", f"msg={_quoted(message)}"]
            parts.extend(f"{key}={_quoted(str(fields[key]))}" for key in sorted(fields))
            return " ".join(parts)
        if self._kind == "logstash":
            fields |= {"@timestamp": time, "@version": "1", "level": level, "message": message}
        else:
            fields |= {"level": level, "msg": message, "time": time}
        return json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str)


def _quoted(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def configure_logging(config: Config, stream: TextIO | None = None) -> Redactor:
    """Send this package's log to *stream* (default: standard error), which replaces that of an
    earlier call, without the secrets of *config*."""
    redact = Redactor(secrets_of(config))
    fields = {"instance.id": str(uuid.uuid4()), "version": __version__, **config.log.fields}
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.set_name(PACKAGE)
    handler.setFormatter(LogFormatter(config.log.formatter, fields, redact))
    logger = logging.getLogger(PACKAGE)
    for earlier in [h for h in logger.handlers if h.get_name() == PACKAGE]:
        logger.removeHandler(earlier)
    logger.addHandler(handler)
    logger.setLevel(_LEVELS[config.log.level])
    logger.propagate = False
    return redact


class RequestLog(Observer):
    """Logs each request under distribution's field names. A successful one is logged at ``debug``,
    because the access log has it too."""

    def __init__(self) -> None:
        # Unique among processes without asking the system for randomness each time.
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def wants(self, status: int) -> bool:
        return _log.isEnabledFor(_level(status))

    def started(self, request: Request, handler: str | None) -> None:
        _request_id.set(f"{self._prefix}-{next(self._numbers):06x}")

    def finished(self, exchange: ObservedExchange) -> None:
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
        message = (
            "response completed with error" if exchange.status >= 400 else "response completed"
        )
        if not exchange.complete:
            message = "response broken off"
        _log.log(level, message, extra={"fields": {k: v for k, v in fields.items() if v != ""}})


def _level(status: int, *, complete: bool = True) -> int:
    if status >= 500:
        return logging.ERROR
    return logging.INFO if status >= 400 or not complete else logging.DEBUG


# -- the access log -----------------------------------------------------------------------------
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE = re.compile(r'[\x00-\x1f"\\\x7f-\x9f]')


class AccessLog(Observer):
    """Writes Apache's combined format, as distribution does, always with ``-`` for the user.

    Lines are written at the next turn of the event loop, so that requests that end together cost
    one write. https://httpd.apache.org/docs/2.4/logs.html#combined
    """

    def __init__(self, redact: Redactor, stream: TextIO | None = None) -> None:
        self._redact = redact
        self._stream = stream or sys.stdout
        self._lines: list[str] = []
        self._second = (-1, "")

    def finished(self, exchange: ObservedExchange) -> None:
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
        """Write the waiting lines. They are lost if the disk is full: pulls go on."""
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
