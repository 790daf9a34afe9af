"""Removes credentials from everything that is shown or written."""

from __future__ import annotations

import re
from collections.abc import Iterable

import httpx

HIDDEN = "[redacted]"

_LOGINS = frozenset({"authorization", "proxy-authorization"})
_COOKIES = frozenset({"cookie", "set-cookie"})
# Long enough not to match prose; not a parameter of a challenge (realm="...").
_CREDENTIALS = re.compile(r"\b(Basic|Bearer)(\s+)(?!\w+=\")[\w+/=.~-]{16,}", re.IGNORECASE)
_USERINFO = re.compile(r"(://)[^\s/@\"']+@")


def redact_headers(
    headers: httpx.Headers, secrets: Iterable[str] = ()
) -> tuple[tuple[str, str], ...]:
    """*headers* in order, without credentials; the scheme of an ``Authorization`` is kept."""
    return tuple((name, _redacted(name, value, secrets)) for name, value in headers.multi_items())


def _redacted(name: str, value: str, secrets: Iterable[str]) -> str:
    if name.lower() in _LOGINS:
        scheme, space, _ = value.partition(" ")
        return f"{scheme} {HIDDEN}" if space else HIDDEN
    return HIDDEN if name.lower() in _COOKIES else redact_text(value, secrets)


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* without Basic or Bearer credentials, user information in URLs, and *secrets* of four
    characters or more (hiding every "p" would hide the text, not the password)."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, HIDDEN)
    text = _CREDENTIALS.sub(rf"\1\2{HIDDEN}", text)
    return _USERINFO.sub(rf"\1{HIDDEN}@", text)
