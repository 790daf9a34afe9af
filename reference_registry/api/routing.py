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

_CACHED = 512
"""Characters; longer paths are not cached."""


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
    """The path had ``//`` or dot segments; otherwise a slash at its end is missing or extra."""


class Router:
    """The routes that *profile* has."""

    def __init__(self, profile: Profile) -> None:
        if profile.names_what_is_invalid:  # Handlers then check the parts and name the bad one.
            parts = (".+", "[^/]+", "(?!uploads$)[^/]+", "[^/]+")
        else:
            uuid = r"[a-zA-Z0-9_.=-]+"
            parts = (DISTRIBUTION_NAME, DISTRIBUTION_REFERENCE, DISTRIBUTION_DIGEST, uuid)
        name, reference, digest, uuid = (
            f"(?P<{part}>{pattern})"
            for part, pattern in zip(("name", "reference", "digest", "uuid"), parts, strict=True)
        )
        table = {
            "base": "/v2/",
            "catalog": "/v2/_catalog",
            "tags": f"/v2/{name}/tags/list",
            "manifest": f"/v2/{name}/manifests/{reference}",
            "referrers": f"/v2/{name}/referrers/{digest}",
            "blob_upload": f"/v2/{name}/blobs/uploads/",
            "blob_upload_chunk": f"/v2/{name}/blobs/uploads/{uuid}",
            "blob": f"/v2/{name}/blobs/{digest}",
        }
        if not profile.referrers_api:
            del table["referrers"]
        self._routes = [(resource, re.compile(pattern)) for resource, pattern in table.items()]
        self._find_cached = lru_cache(maxsize=1024)(self._find)

    def find(self, path: str) -> Route | Moved | None:
        """What *path* names; None if nothing."""
        return self._find_cached(path) if len(path) <= _CACHED else self._find(path)

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
