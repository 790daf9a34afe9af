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
    MANIFEST_UNKNOWN,
    NAME_UNKNOWN,
    TOOMANYREQUESTS,
    UNAVAILABLE,
    UNKNOWN,
    UNSUPPORTED,
    RegistryError,
    detail,
    unknown_revision,
    unknown_tag,
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
    "manifest_error",
    "referrers_error",
    "stale_mark",
    "tag_error",
    "tags_error",
    "unknown_error",
    "upload_error",
]

_STALE = (("Warning", '110 - "Response is Stale"'),)
_DISCONNECTED = (("Warning", '112 - "Disconnected Operation"'),)

_RETRY_AFTER = re.compile(r"[0-9]{1,9}|[A-Z][a-z]{2}, [0-9A-Za-z :]{1,26}")


def stale_mark(failure: UpstreamFailure) -> tuple[tuple[str, str], ...]:
    """The headers of stale content, which could not be revalidated (RFC 7234, 5.5.1 and 5.5.3)."""
    return _DISCONNECTED if isinstance(failure, UpstreamOffline) else _STALE


def tag_error(failure: UpstreamFailure, tag: str, profile: Profile) -> RegistryError:
    """For a tag that is not cached."""
    if not profile.honest_upstream_errors:
        return unknown_tag(profile, tag)
    return _honest(failure) or unknown_tag(profile, tag)


def manifest_error(
    failure: UpstreamFailure, name: str, digest: Digest, profile: Profile
) -> RegistryError:
    """For a manifest by digest that is not cached."""
    if not profile.honest_upstream_errors:
        return unknown_error(failure, profile)
    return _honest(failure) or unknown_revision(profile, name, digest)


def blob_error(failure: UpstreamFailure, digest: Digest, profile: Profile) -> RegistryError:
    """For a blob that is not cached."""
    if profile.honest_upstream_errors:
        return _honest(failure) or BLOB_UNKNOWN(digest)
    if _is_absence(failure):
        return BLOB_UNKNOWN(digest)
    return unknown_error(failure, profile)


def _is_absence(failure: UpstreamFailure) -> bool:
    """Whether upstream does not have it, as releases see it."""
    return isinstance(failure, UpstreamRefused) and failure.status == 404


def tags_error(failure: UpstreamFailure, name: str, profile: Profile) -> RegistryError:
    """For the tags of a repository without cached tags."""
    if not profile.honest_upstream_errors:
        return NAME_UNKNOWN({"name": name})
    return _honest(failure) or NAME_UNKNOWN({"name": name})


def referrers_error(failure: UpstreamFailure) -> RegistryError:
    """For the referrers of a manifest without cached referrers; only ``ideal`` lists them."""
    return _honest(failure) or MANIFEST_UNKNOWN()


def upload_error(profile: Profile) -> RegistryError:
    """For an upload session, which a proxy never has."""
    if profile.honest_upstream_errors:
        return UNSUPPORTED()
    return UNKNOWN(detail(profile, "operation unsupported"))


def unknown_error(failure: UpstreamFailure, profile: Profile) -> RegistryError:
    """500 with the complete error of upstream, as by releases."""
    return UNKNOWN(detail(profile, *go_error(failure, profile)))


def _honest(failure: UpstreamFailure) -> RegistryError | None:
    """What happened; None if upstream does not have the content."""
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
            return None
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
