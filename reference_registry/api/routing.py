"""From a path to a resource.

The table is distribution's, with ``referrers`` of OCI 1.1. Names of resources are those that its
metrics use as the label ``handler``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from reference_registry.names import DISTRIBUTION_DIGEST, DISTRIBUTION_NAME, DISTRIBUTION_REFERENCE
from reference_registry.profiles import Profile

__all__ = ["Moved", "Route", "Router"]

_REMEMBERED = 1024
"""Paths; the same ones come again and again."""
_USUAL = 512
"""Characters of a path that is remembered."""


@dataclass(frozen=True)
class Route:
    """The resource that a path names, and the names, digests and references in the path."""

    resource: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Moved:
    """The path is not in its plain form, which is *path*: 301."""

    path: str
    cleaned: bool
    """It held ``//`` or dot segments; else only a slash at the end was too many or too few."""


@dataclass(frozen=True)
class _Grammar:
    name: str
    reference: str
    digest: str
    uuid: str


# ``ideal`` takes whatever stands there and answers by name what is wrong with it.
_ANYTHING = _Grammar(name=".+", reference="[^/]+", digest="(?!uploads$)[^/]+", uuid="[^/]+")
_DISTRIBUTION = _Grammar(
    name=DISTRIBUTION_NAME,
    reference=DISTRIBUTION_REFERENCE,
    digest=DISTRIBUTION_DIGEST,
    uuid=r"[a-zA-Z0-9_.=-]+",
)


class Router:
    """The routes that *profile* has."""

    def __init__(self, profile: Profile) -> None:
        grammar = _ANYTHING if profile.names_what_is_invalid else _DISTRIBUTION
        name, digest = f"(?P<name>{grammar.name})", f"(?P<digest>{grammar.digest})"
        table = {
            "base": "/v2/",
            "catalog": "/v2/_catalog",
            "tags": f"/v2/{name}/tags/list",
            "manifest": f"/v2/{name}/manifests/(?P<reference>{grammar.reference})",
            "referrers": f"/v2/{name}/referrers/{digest}",
            "blob_upload": f"/v2/{name}/blobs/uploads/",
            "blob_upload_chunk": f"/v2/{name}/blobs/uploads/(?P<uuid>{grammar.uuid})",
            "blob": f"/v2/{name}/blobs/{digest}",
        }
        if not profile.referrers_api:
            del table["referrers"]
        self._routes = [(resource, re.compile(pattern)) for resource, pattern in table.items()]
        self._found_lately = lru_cache(maxsize=_REMEMBERED)(self._find)

    def find(self, path: str) -> Route | Moved | None:
        """What *path* names; None for nothing."""
        return self._found_lately(path) if len(path) <= _USUAL else self._find(path)

    def _find(self, path: str) -> Route | Moved | None:
        cleaned = _clean(path)
        if cleaned != path:
            return Moved(cleaned, cleaned=True)
        route = self._match(path)
        if route is None:
            other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
            if self._match(other) is not None:
                return Moved(other, cleaned=False)
        return route

    def _match(self, path: str) -> Route | None:
        for resource, pattern in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                return Route(resource, match.groupdict())
        return None


def _clean(path: str) -> str:
    """*path* without empty and dot segments (RFC 3986, 5.2.4); a slash at its end stays."""
    if "//" not in path and "/." not in path:
        return path
    cleaned = posixpath.normpath(f"/{path.lstrip('/')}")
    return f"{cleaned}/" if path.endswith("/") and cleaned != "/" else cleaned
