"""The errors that clients get when upstream fails. No I/O.

``ideal`` reports what happened. A 401 from upstream is about the proxy's credentials, not about the
client's, so it becomes 403, and upstream's challenge is never passed on: a client that answered it
would send its password for the cache to upstream.

Releases answer 404 for a tag whatever happened, 500 for a digest, and for a blob 404 or 500.
"""

from __future__ import annotations

import re

from reference_registry.digest import Digest
from reference_registry.http.errors import (
    BLOB_UNKNOWN,
    DENIED,
    TOOMANYREQUESTS,
    UNAVAILABLE,
    UNKNOWN,
    UNSUPPORTED,
    RegistryError,
    detail,
)
from reference_registry.profiles import Profile
from reference_registry.proxy.upstream.errors import (
    UpstreamFailure,
    UpstreamOffline,
    UpstreamRefused,
    UpstreamTimedOut,
)
from reference_registry.proxy.upstream.go_errors import go_error

__all__ = [
    "blob_error",
    "client_error",
    "honest_error",
    "stale_mark",
    "unknown_error",
    "upload_error",
]

_STALE = (("Warning", '110 - "Response is Stale"'),)
_DISCONNECTED = (("Warning", '112 - "Disconnected Operation"'),)

_RETRY_AFTER = re.compile(r"[0-9]{1,9}|[A-Z][a-z]{2}, [0-9A-Za-z :]{1,26}")


def stale_mark(failure: UpstreamFailure) -> tuple[tuple[str, str], ...]:
    """The headers of stale content, which could not be revalidated (RFC 7234, 5.5.1 and 5.5.3)."""
    return _DISCONNECTED if isinstance(failure, UpstreamOffline) else _STALE


def client_error(
    failure: UpstreamFailure,
    profile: Profile,
    absent: RegistryError,
    *,
    released: RegistryError | None = None,
) -> RegistryError:
    """What the client gets: what happened, or *absent* if upstream does not have the content.
    Releases answer *released*, or else 500 with upstream's error."""
    if profile.honest_upstream_errors:
        return honest_error(failure, absent)
    return released or unknown_error(failure, profile)


def blob_error(failure: UpstreamFailure, digest: Digest, profile: Profile) -> RegistryError:
    """For a blob that is not cached."""
    absent = BLOB_UNKNOWN(digest)
    is_absent = isinstance(failure, UpstreamRefused) and failure.status == 404
    return client_error(failure, profile, absent, released=absent if is_absent else None)


def upload_error(profile: Profile) -> RegistryError:
    """For an upload session, which a proxy never has."""
    if profile.honest_upstream_errors:
        return UNSUPPORTED()
    return UNKNOWN(detail(profile, "operation unsupported"))


def unknown_error(failure: UpstreamFailure, profile: Profile) -> RegistryError:
    """500 with the complete error of upstream, as by releases."""
    return UNKNOWN(detail(profile, *go_error(failure, profile)))


def honest_error(failure: UpstreamFailure, absent: RegistryError) -> RegistryError:
    """What happened; *absent* if upstream does not have the content."""
    if isinstance(failure, UpstreamOffline):
        # RFC 9111, 5.2.1.7, for a request that only the cache may answer. Not 404: the content may
        # exist. containerd tries its next host either way.
        return _bad_gateway(504, "this cache is offline and does not have it")
    if isinstance(failure, UpstreamTimedOut):
        return _bad_gateway(504, "upstream did not answer in time")
    if not isinstance(failure, UpstreamRefused):
        return _bad_gateway(502, "upstream did not give a usable answer")
    refusal = failure.refusal
    said = f"upstream answered {refusal.status} {refusal.reason}".rstrip()
    match refusal.status:
        case 404 | 410:
            return absent
        case 401 | 403:
            return DENIED(said)
        case 429:
            error = TOOMANYREQUESTS(said)
        case 503 | 504:
            error = _bad_gateway(refusal.status, said)
        case _:
            error = _bad_gateway(502, said)
    if refusal.retry_after is not None and _RETRY_AFTER.fullmatch(refusal.retry_after):
        return error.with_headers(("Retry-After", refusal.retry_after))
    return error


def _bad_gateway(status: int, said: str) -> RegistryError:
    return RegistryError(status, UNAVAILABLE(said).entries)
