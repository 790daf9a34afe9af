"""A request as a call to a registry, and which calls a fault or an expectation matches. Pure.

Paths: OCI distribution-spec, section "Endpoints"; ``_catalog`` is distribution's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal
from urllib.parse import parse_qsl, unquote

from harness.content import Content
from reference_registry.digest import Digest, parse_digest

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
class RegistryCall:
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


def route(method: str, target: str, headers: Headers = (), body: bytes = b"") -> RegistryCall:
    """The call that a request for *target* (path and query, as sent) is."""
    path, _, query = target.partition("?")
    for pattern, kind in _ROUTES:
        if match := pattern.fullmatch(unquote(path)):
            named = {name: value or None for name, value in match.groupdict().items()}
            return RegistryCall(method, path, query, headers, body, kind, **named)
    return RegistryCall(method, path, query, headers, body)


What = str | Content | None
"""A path, a glob, a digest, or content (matched by its digest)."""


@dataclass(frozen=True)
class Match:
    """Every condition that is given has to hold; without any, every call matches.

    ``what`` is a digest (matches calls whose path ends with it) or a glob: of the whole path where
    it begins with ``/`` or ``*``, else of the path's end, so that ``manifests/v1`` will do. A glob
    with a question mark and an equals sign includes the query. ``*`` crosses slashes.
    """

    method: str | None = None
    what: str | None = None
    kind: Kind | None = None
    repository: str | None = None

    @classmethod
    def of(
        cls,
        method: str | None = None,
        what: What = None,
        *,
        kind: Kind | None = None,
        repository: str | None = None,
    ) -> Match:
        """A match from what tests have at hand; method ``*`` is any."""
        text = what if what is None or isinstance(what, str) else what.digest
        return cls(None if method == "*" else method, text, kind, repository)

    @classmethod
    def parse(cls, line: str) -> Match:
        """From ``GET /v2/team/*``, or from a path or digest alone."""
        method, _, what = line.rpartition(" ")
        return cls.of(method or None, what)

    def __call__(self, call: RegistryCall) -> bool:
        return (
            self.method in {None, call.method}
            and self.kind in {None, call.kind}
            and self.repository in {None, call.repository}
            and (self.what is None or _names(self.what, call))
        )

    def __str__(self) -> str:
        parts = [self.method or "*", self.kind, self.repository, self.what]
        return " ".join(part for part in parts if part)


def _names(what: str, call: RegistryCall) -> bool:
    if parse_digest(what) is not None:
        return call.digest == what
    glob = what if what.startswith(("/", "*")) else f"*/{what}"
    return fnmatchcase(call.path, glob) or fnmatchcase(call.target, glob.replace("?", "[?]"))
