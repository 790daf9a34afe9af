"""A request seen as a call to a registry: which resource it names. Pure.

Paths: OCI distribution-spec, section "Endpoints"; ``_catalog`` is distribution's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from reference_registry.digest import Digest, parse_digest

__all__ = ["TOKEN_PATH", "Call", "Headers", "Kind", "route"]

Kind = Literal[
    "base", "manifest", "blob", "tags", "referrers", "catalog", "token", "upload", "other"
]
Headers = tuple[tuple[str, str], ...]
"""Header lines in order; the names of a request are lower case."""

TOKEN_PATH = "/token"
"""Where the token server of a mock upstream answers."""

_ROUTES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"/v2/?"), "base"),
    (re.compile(r"/v2/_catalog"), "catalog"),
    (re.compile(re.escape(TOKEN_PATH)), "token"),
    (re.compile(r"/v2/(?P<repository>.+)/manifests/(?P<reference>[^/]+)"), "manifest"),
    (re.compile(r"/v2/(?P<repository>.+)/blobs/uploads(?:/(?P<reference>[^/]*))?"), "upload"),
    (re.compile(r"/v2/(?P<repository>.+)/blobs/(?P<reference>[^/]+)"), "blob"),
    (re.compile(r"/v2/(?P<repository>.+)/tags/list"), "tags"),
    (re.compile(r"/v2/(?P<repository>.+)/referrers/(?P<reference>[^/]+)"), "referrers"),
)


@dataclass(frozen=True)
class Call:
    """One request, parsed as far as a registry cares."""

    method: str
    path: str
    """As sent, without the query."""
    query: str = ""
    """As sent, without the question mark."""
    headers: Headers = ()
    body: bytes = b""
    kind: Kind = "other"
    repository: str | None = None
    reference: str | None = None
    """The tag, digest or upload id that the path ends with."""

    @property
    def target(self) -> str:
        """The path with the query, if there is one."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def line(self) -> str:
        """Such as ``GET /v2/team/app/tags/list?n=10``."""
        return f"{self.method} {self.target}"

    @property
    def digest(self) -> Digest | None:
        """The digest that the path ends with, if it is one."""
        return parse_digest(self.reference) if self.reference else None

    @property
    def tag(self) -> str | None:
        """The tag of a manifest asked for by tag."""
        return self.reference if self.kind == "manifest" and self.digest is None else None

    def header(self, name: str) -> str | None:
        """The first header line called *name* (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)

    def parameters(self, name: str) -> list[str]:
        """The values of the query parameter *name*, in order."""
        pairs = parse_qsl(self.query, keep_blank_values=True)
        return [value for key, value in pairs if key == name]

    def parameter(self, name: str) -> str | None:
        """The first value of the query parameter *name*, or None."""
        return next(iter(self.parameters(name)), None)


def route(method: str, target: str, headers: Headers = (), body: bytes = b"") -> Call:
    """The call that a request for *target* (path and query, as sent) is."""
    path, _, query = target.partition("?")
    for pattern, kind in _ROUTES:
        if match := pattern.fullmatch(unquote(path)):
            groups = match.groupdict()
            return Call(
                method,
                path,
                query,
                headers,
                body,
                kind,
                groups.get("repository"),
                groups.get("reference") or None,
            )
    return Call(method, path, query, headers, body)
