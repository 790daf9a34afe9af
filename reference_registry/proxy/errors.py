"""The errors that clients get when upstream fails. No I/O.

``ideal`` reports what happened. A 401 from upstream is about the proxy's credentials, not about the
client's, so it becomes 403, and upstream's challenge is never passed on: a client that answered it
would send its password for the cache to upstream.

Releases answer 404 for a tag whatever happened, 500 for a digest, and for a blob 404 or 500. They
show upstream's errors as text (3.x) or as Go structs (2.8), in the words of distribution's
``registry/client/errors.go`` and ``registry/api/errcode``, and of Go's ``net/url``, ``net`` and
``encoding/json``.
"""

from __future__ import annotations

import base64
import errno
import json
import re
from typing import Any, NamedTuple

from reference_registry.digest import Digest
from reference_registry.http import errors
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
from reference_registry.http.go_json import syntax_error, type_error
from reference_registry.profiles import Profile
from reference_registry.proxy.upstream.errors import (
    NoToken,
    Refusal,
    UpstreamBroken,
    UpstreamFailure,
    UpstreamOffline,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)

_STALE = (("Warning", '110 - "Response is Stale"'),)
_DISCONNECTED = (("Warning", '112 - "Disconnected Operation"'),)

_MESSAGES = {
    each.code: each.message for each in vars(errors).values() if isinstance(each, errors.ErrorCode)
} | {"MANIFEST_UNVERIFIED": "manifest failed signature verification"}
"""The codes that Go's client knows, with their default messages."""

_BY_STATUS = {401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS"}
_OF_BEARER = {"invalid_token": "UNAUTHORIZED", "insufficient_scope": "DENIED"}
"""RFC 6750, 3.1."""

_JSON_TYPES = frozenset({"application/json", "application/vnd.api+json"})
_ADDRESS = r"\[?([^\]>]*)\]?:(\d+)"
_REFUSED = re.compile(f"dial tcp {_ADDRESS}: connect: connection refused")
_RESET = re.compile(f"read tcp {_ADDRESS}->{_ADDRESS}: read: connection reset by peer")
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


# -- errors of Go ---------------------------------------------------------------------------------
class GoError(NamedTuple):
    """An error value of Go: the text of ``Error()``, and the JSON of ``encoding/json``."""

    text: str
    struct: Any


def go_error(failure: UpstreamFailure, profile: Profile) -> GoError:
    """*failure* as a release represents it."""
    if isinstance(failure, UpstreamRefused):
        return _refusal(failure.refusal, profile)
    if isinstance(failure, UpstreamUnreachable | NoToken):
        operation = failure.method.capitalize()
        if isinstance(failure, NoToken):
            inner = go_error(failure.why, profile)
        else:
            inner = GoError(failure.cause, _network_error(failure.cause))
        return GoError(
            f'{operation} "{failure.url}": {inner.text}',
            {"Op": operation, "URL": failure.url, "Err": inner.struct},
        )
    if isinstance(failure, UpstreamBroken):
        struct = failure.struct or _network_error(failure.cause)
        return GoError(failure.cause, dict(struct))
    return GoError(str(failure), {})


def _network_error(text: str) -> dict[str, Any]:
    """The ``net.OpError`` of a refused or reset connection; empty for other errors."""
    if match := _REFUSED.fullmatch(text):
        return _operation("dial", None, _address(match[1], match[2]), "connect", errno.ECONNREFUSED)
    if match := _RESET.fullmatch(text):
        ends = _address(match[1], match[2]), _address(match[3], match[4])
        return _operation("read", *ends, "read", errno.ECONNRESET)
    return {}


def _operation(
    name: str, source: Any, address: dict[str, Any], syscall: str, number: int
) -> dict[str, Any]:
    error = {"Syscall": syscall, "Err": number}
    return {"Op": name, "Net": "tcp", "Source": source, "Addr": address, "Err": error}


def _address(host: str, port: str) -> dict[str, Any]:
    return {"IP": host, "Port": int(port), "Zone": ""}


# -- error responses ------------------------------------------------------------------------------
def _refusal(refusal: Refusal, profile: Profile) -> GoError:
    if not 400 <= refusal.status < 500:
        status = f"{refusal.status} {refusal.reason}"
        return GoError(f"received unexpected HTTP status: {status}", {"Status": status})
    said = _said(refusal, profile)
    for challenge in refusal.challenges:
        code = _OF_BEARER.get(challenge.get("error"))
        if challenge.scheme == "bearer" and code is not None:
            first = _error(code, challenge.get("error_description") or _MESSAGES[code])
            return _listed([first, *(said if isinstance(said, list) else [said])])
    if isinstance(said, list):
        return _listed(said)
    if refusal.status == 401 and "ParseErr" in said.struct:
        struct = {**_error("UNAUTHORIZED").struct, "detail": said.struct["Response"]}
        return GoError("unauthorized: authentication required", struct)
    return said


def _said(refusal: Refusal, profile: Profile) -> GoError | list[GoError]:
    """The body of *refusal*: one error, or a list of errors."""
    if refusal.broken is not None:
        return GoError(refusal.broken, _network_error(refusal.broken))
    text = refusal.body.decode("utf-8", "replace")
    code = _BY_STATUS.get(refusal.status, "UNKNOWN")
    unread = not refusal.body and not profile.parses_empty_refusals
    if unread or refusal.media_type not in _JSON_TYPES:
        return _error(code, text)
    try:
        document = json.loads(refusal.body)
    except (ValueError, RecursionError):
        return _unreadable(refusal, *syntax_error(text))
    if isinstance(document, dict):
        if isinstance(details := document.get("details"), str) and details:
            return _error(code, details)
        listed = _entries(document.get("errors"))
        return listed or _unreadable(refusal, "no error details found in HTTP response body", {})
    return _unreadable(refusal, *type_error(text.strip(), "struct { Errors []errcode.Error }"))


def _entries(listed: Any) -> list[GoError]:
    """The *listed* errors; empty unless they have the form of the OCI distribution-spec ("Error
    Codes")."""
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        return []
    found = []
    for entry in listed:
        code = str(entry.get("code", ""))
        code = code if code in _MESSAGES else "UNKNOWN"
        message, detail = entry.get("message") or "", entry.get("detail")
        error = _error(code, str(message))
        if detail is not None:
            error = GoError(error.text, {**error.struct, "detail": detail})
        elif message in ("", _MESSAGES[code]):
            # Go keeps only the code if message and detail add nothing.
            error = GoError(_name(code), _error(code).struct)
        found.append(error)
    return found


def _listed(found: list[GoError]) -> GoError:
    """An ``errcode.Errors``."""
    texts = [error.text for error in found]
    text = texts[0] if len(texts) == 1 else "\n".join(["errors:", *texts, ""])
    return GoError(text, {"errors": [_as_entry(error.struct) for error in found]})


def _as_entry(struct: dict[str, Any]) -> dict[str, Any]:
    if "code" not in struct:
        return {**_error("UNKNOWN").struct, "detail": struct}
    return struct if struct["message"] else {**struct, "message": _MESSAGES[struct["code"]]}


def _error(code: str, message: str | None = None) -> GoError:
    """An ``errcode.Error``."""
    message = _MESSAGES[code] if message is None else message
    return GoError(f"{_name(code)}: {message}", {"code": code, "message": message})


def _name(code: str) -> str:
    return code.lower().replace("_", " ")


# -- invalid JSON ---------------------------------------------------------------------------------
def _unreadable(refusal: Refusal, problem: str, struct: dict[str, Any]) -> GoError:
    body = json.dumps(refusal.body.decode("utf-8", "replace"), ensure_ascii=False)
    encoded = base64.b64encode(refusal.body).decode("ascii")
    return GoError(
        f"error parsing HTTP {refusal.status} response body: {problem}: {body}",
        {"ParseErr": struct, "StatusCode": refusal.status, "Response": encoded},
    )
