"""The debug listener's application: health, metrics and variables.

Paths and answers are those of distribution's debug server (Go's default mux): anything else is
``404 page not found``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from reference_registry.config import Config
from reference_registry.config.units import format_duration
from reference_registry.counters import Counters, Metrics, TrafficCounters
from reference_registry.http.asgi import Receive, Scope, Send
from reference_registry.http.hooks import HealthGate
from reference_registry.observability.logs import REDACTED, SECRET_HEADERS, Redactor
from reference_registry.profiles import Profile

_SECRET_FIELDS = frozenset({"password", "secret"})

_redact = Redactor()


class DebugApplication:
    """ASGI."""

    def __init__(
        self,
        config: Config,
        *,
        profile: Profile,
        health: HealthGate,
        counters: Counters,
        metrics: Metrics | None,
    ) -> None:
        self._config = config
        self._profile = profile
        self._health = health
        self._counters = counters
        self._metrics = metrics
        self._metrics_path = config.http.debug.prometheus_path if config.http.debug else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, content_type, body = self._answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        if status == 404:
            headers.append((b"x-content-type-options", b"nosniff"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body})

    def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if path == "/debug/health" and method == "GET":
            failing = self._health.failing()
            document = json.dumps(dict(failing), separators=(",", ":"), ensure_ascii=False)
            kind = self._profile.json_content_type
            return 503 if failing else 200, kind, document.encode()
        if path == "/debug/vars":
            shown = variables(self._config, self._counters, self._profile)
            text = json.dumps(shown, ensure_ascii=False)
            if self._profile.debug_vars_break_with_redis and "redis" in shown["registry"]:
                text = text.replace(json.dumps(shown["registry"]["redis"]), "", 1)
            return 200, "application/json; charset=utf-8", text.encode()
        if path == self._metrics_path and self._metrics is not None:
            return 200, "text/plain; version=0.0.4; charset=utf-8", self._metrics.render()
        return 404, "text/plain; charset=utf-8", b"404 page not found\n"


def variables(config: Config, counters: Counters, profile: Profile) -> dict[str, Any]:
    """The document of ``/debug/vars``. Passwords, which distribution 3.x shows once redis is
    configured, are ``[redacted]``."""
    blob, manifest = _traffic(counters.blob), _traffic(counters.manifest)
    if profile.counts_proxy_blobs_wrongly:
        blob |= {"Hits": blob["Requests"], "Misses": 0, "BytesPulled": 0}
        manifest["Hits"] = manifest["Requests"]
    registry: dict[str, Any] = {
        "notifications": {"endpoints": None},
        "proxy": {"blobs": blob, "manifests": manifest},
    }
    cache = counters.cache
    if cache.requests:
        looked_up = {"Requests": cache.requests, "Hits": cache.hits, "Misses": cache.misses}
        registry["cache"] = {"storage": {"blobdescriptor": looked_up}}
    if config.redis is not None:
        registry["redis"] = {"Config": _plain(config)}
    return {"registry": registry}


def _traffic(traffic: TrafficCounters) -> dict[str, int]:
    return {
        "Requests": traffic.requests,
        "Hits": traffic.hits,
        "Misses": traffic.misses,
        "BytesPulled": traffic.pulled_bytes,
        "BytesPushed": traffic.pushed_bytes,
    }


def _plain(value: Any) -> Any:
    """*value* as JSON, with secrets replaced."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: REDACTED
            if field.name in _SECRET_FIELDS and getattr(value, field.name)
            else _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {
            key: REDACTED if key.lower() in SECRET_HEADERS else _plain(item)
            for key, item in value.items()
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return format_duration(value)
    return _redact(str(value)) if isinstance(value, str | Path) else value
