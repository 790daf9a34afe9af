"""The application's log, on standard error, as distribution's logrus writes it.

``text`` is ``time="..." level=info msg="..." key=value``, ``json`` one object a line, ``logstash``
the same under Logstash's names. Structured fields come as ``extra={"fields": {...}}``; those of
``log.fields`` are added to every line, and while a request is answered its id.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from reference_registry import PACKAGE
from reference_registry.config import LogConfig
from reference_registry.observability.redaction import Redactor
from reference_registry.observability.request_log import current_request_id

__all__ = ["LogFormatter", "configure_logging"]

_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
# logrus writes a value bare that is made of these alone.
_BARE = re.compile(r"[A-Za-z0-9\-._/@^+]+")


class LogFormatter(logging.Formatter):
    """Renders a record in one of distribution's three formats, without credentials."""

    def __init__(
        self, kind: str, fields: Mapping[str, object], redact: Redactor | None = None
    ) -> None:
        super().__init__()
        self._fields = dict(fields)
        self._redact = redact or Redactor()
        self._render = {"json": _json, "logstash": _logstash}.get(kind, _text)

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        fields = {**self._fields, **getattr(record, "fields", {})}
        request_id = current_request_id.get()
        if request_id is not None:
            fields["http.request.id"] = request_id
        redacted = {
            key: self._redact(value) if isinstance(value, str) else value
            for key, value in fields.items()
        }
        time = moment.replace("+00:00", "Z")
        return self._render(time, record.levelname.lower(), self._redact(message), redacted)


def _text(time: str, level: str, message: str, fields: Mapping[str, object]) -> str:
    parts = [f'time="{time}"', f"level={level}", f"msg={_quoted(message)}"]
    parts.extend(f"{key}={_quoted(str(fields[key]))}" for key in sorted(fields))
    return " ".join(parts)


def _quoted(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _json(time: str, level: str, message: str, fields: Mapping[str, object]) -> str:
    document = {**fields, "level": level, "msg": message, "time": time}
    return json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)


def _logstash(time: str, level: str, message: str, fields: Mapping[str, object]) -> str:
    document = {**fields, "@timestamp": time, "@version": "1", "level": level, "message": message}
    return json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)


def configure_logging(
    config: LogConfig,
    *,
    version: str,
    redact: Redactor | None = None,
    stream: TextIO | None = None,
) -> logging.Handler:
    """Send this package's log to *stream* (default: standard error). Returns the handler, which
    takes the place of one from an earlier call."""
    fields = {"instance.id": str(uuid.uuid4()), "version": version, **config.fields}
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.set_name(PACKAGE)
    handler.setFormatter(LogFormatter(config.formatter, fields, redact))
    logger = logging.getLogger(PACKAGE)
    for earlier in [h for h in logger.handlers if h.get_name() == PACKAGE]:
        logger.removeHandler(earlier)
    logger.addHandler(handler)
    logger.setLevel(_LEVELS[config.level])
    logger.propagate = False
    return handler
