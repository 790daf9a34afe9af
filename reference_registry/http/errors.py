"""Registry errors as values.

Codes and body shape: OCI distribution-spec, section "Error Codes"; the statuses are those that CNCF
distribution sends (its ``registry/api/errcode`` and ``registry/api/v2`` tables).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from reference_registry.digest import Digest
from reference_registry.profiles import Profile

_ABSENT: Any = object()


@dataclass(frozen=True)
class ErrorCode:
    """One row of the table below: what a client sees for a kind of failure."""

    code: str
    status: int
    message: str

    def __call__(self, detail: Any = _ABSENT, *, message: str | None = None) -> RegistryError:
        """An error to raise. *detail* is any JSON value; left out of the body when not given."""
        entry: dict[str, Any] = {"code": self.code, "message": message or self.message}
        if detail is not _ABSENT:
            entry["detail"] = detail
        return RegistryError(self.status, (entry,))


# Not frozen: contextlib assigns __traceback__ on exceptions that pass through it.
@dataclass(eq=False)
class RegistryError(Exception):
    """Raised anywhere below the API, turned into one JSON answer by the API.

    ``entries`` is the ``errors`` array of the body; ``headers`` are added to the answer
    (``Retry-After``, ``WWW-Authenticate``).
    """

    status: int
    entries: tuple[dict[str, Any], ...]
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def code(self) -> str:
        """The first entry's code."""
        return str(self.entries[0]["code"])

    def with_headers(self, *headers: tuple[str, str]) -> RegistryError:
        """The same error with more answer headers."""
        return replace(self, headers=self.headers + headers)

    def body(self) -> dict[str, Any]:
        """The JSON document to send."""
        return {"errors": list(self.entries)}


BLOB_UNKNOWN = ErrorCode("BLOB_UNKNOWN", 404, "blob unknown to registry")
BLOB_UPLOAD_INVALID = ErrorCode("BLOB_UPLOAD_INVALID", 404, "blob upload invalid")
BLOB_UPLOAD_UNKNOWN = ErrorCode("BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to registry")
DENIED = ErrorCode("DENIED", 403, "requested access to the resource is denied")
DIGEST_INVALID = ErrorCode("DIGEST_INVALID", 400, "provided digest did not match uploaded content")
MANIFEST_BLOB_UNKNOWN = ErrorCode("MANIFEST_BLOB_UNKNOWN", 400, "blob unknown to registry")
MANIFEST_INVALID = ErrorCode("MANIFEST_INVALID", 400, "manifest invalid")
MANIFEST_UNKNOWN = ErrorCode("MANIFEST_UNKNOWN", 404, "manifest unknown")
NAME_INVALID = ErrorCode("NAME_INVALID", 400, "invalid repository name")
NAME_UNKNOWN = ErrorCode("NAME_UNKNOWN", 404, "repository name not known to registry")
PAGINATION_NUMBER_INVALID = ErrorCode(
    "PAGINATION_NUMBER_INVALID", 400, "invalid number of results requested"
)
RANGE_INVALID = ErrorCode("RANGE_INVALID", 416, "invalid content range")
SIZE_INVALID = ErrorCode("SIZE_INVALID", 400, "provided length did not match content length")
TAG_INVALID = ErrorCode("TAG_INVALID", 400, "manifest tag did not match URI")
TOOMANYREQUESTS = ErrorCode("TOOMANYREQUESTS", 429, "too many requests")
UNAUTHORIZED = ErrorCode("UNAUTHORIZED", 401, "authentication required")
STORAGE_FULL = ErrorCode("UNAVAILABLE", 507, "the registry has no space left to store this")
"""The specification has no code for this; the status is WebDAV's (RFC 4918, 11.5). Clients retry it
like every 5xx."""
UNAVAILABLE = ErrorCode("UNAVAILABLE", 503, "service unavailable")
UNKNOWN = ErrorCode("UNKNOWN", 500, "unknown error")
UNSUPPORTED = ErrorCode("UNSUPPORTED", 405, "The operation is unsupported.")


# -- errors whose ``detail`` is text or, in 2.8, a Go struct as JSON -------------------------------
def detail(profile: Profile, text: str, struct: Any = None) -> Any:
    """*text*, or *struct* (by default ``{}``) if *profile* marshals Go errors."""
    if profile.error_detail == "text":
        return text
    return {} if struct is None else struct


def unknown_tag(profile: Profile, tag: str) -> RegistryError:
    """404 for a tag that does not exist."""
    return MANIFEST_UNKNOWN(detail(profile, f"unknown tag={tag}", {"Tag": tag}))


def unknown_revision(profile: Profile, name: str, digest: Digest) -> RegistryError:
    """404 for a manifest digest that the repository *name* does not have."""
    text = f"unknown manifest name={name} revision={digest}"
    return MANIFEST_UNKNOWN(detail(profile, text, {"Name": name, "Revision": digest}))
