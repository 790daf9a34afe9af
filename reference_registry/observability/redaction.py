"""Keeping credentials out of what is written down."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reference_registry.config import Config
from reference_registry.config.proxy import upstreams_of

__all__ = ["REDACTED", "SECRET_HEADERS", "Redactor", "secrets_of"]

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
