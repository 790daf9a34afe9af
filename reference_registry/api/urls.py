"""Absolute URLs for ``Location``: under which name the client reached us.

As in distribution: ``http.host`` wins, then ``Forwarded`` (RFC 7239) or ``X-Forwarded-Proto`` and
``X-Forwarded-Host``, then the request's own host. ``X-Forwarded-Port`` is not looked at.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode, urlsplit

from reference_registry.config import HttpConfig
from reference_registry.http.messages import Request

__all__ = ["base_url", "location", "prefixed"]

_TOKEN = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"
_FORWARDED_PAIR = re.compile(rf'\s*{_TOKEN}\s*=\s*(?:"((?:[^"\\]|\\.)*)"|{_TOKEN})\s*')


def prefixed(path: str, http: HttpConfig) -> str:
    """*path* as clients see it, with ``http.prefix`` before it."""
    return f"{http.prefix.rstrip('/')}{path}"


def base_url(request: Request, http: HttpConfig) -> str:
    """Scheme and host, such as ``https://registry.example:5000``; empty for relative URLs."""
    configured = urlsplit(http.host) if http.host else None
    # A host without a scheme is ignored, as in distribution.
    if configured is not None and configured.scheme and configured.netloc:
        return f"{configured.scheme}://{configured.netloc}"
    if http.relativeurls:
        return ""
    scheme, host = request.scheme, request.header("host") or ""
    forwarded = request.header("forwarded")
    if forwarded:
        pairs = _first_forwarded(forwarded)
        scheme, host = pairs.get("proto") or scheme, pairs.get("host") or host
    else:
        scheme = request.header("x-forwarded-proto") or scheme
        # Each proxy on the way appends the host that it was asked for.
        host = (request.header("x-forwarded-host") or host).partition(",")[0].strip()
    return f"{scheme}://{host}"


def location(request: Request, http: HttpConfig, path: str, query: dict[str, str]) -> str:
    """The value of ``Location`` for *path* (without the prefix) and *query*."""
    url = base_url(request, http) + prefixed(quote(path, safe="/:@+,=-._~"), http)
    return f"{url}?{urlencode(query)}" if query else url


def _first_forwarded(header: str) -> dict[str, str]:
    """The parameters of the first hop; empty where the header does not follow RFC 7239, section 4,
    which wants a host with a port in quotes."""
    pairs: dict[str, str] = {}
    rest = header
    while rest.strip():
        match = _FORWARDED_PAIR.match(rest)
        if match is None or match[1].lower() in pairs:
            return {}
        name, quoted, plain = match.groups()
        pairs[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        rest = rest[match.end() :]
        if rest.startswith(","):
            break
        if rest and not rest.startswith(";"):
            return {}
        rest = rest[1:]
    return pairs
