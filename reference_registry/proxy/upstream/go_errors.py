"""How releases show upstream's errors to their clients: as text (3.x) or as Go structs (2.8).

The wording is that of distribution's ``registry/client/errors.go`` and ``registry/api/errcode``,
and of Go's ``net/url``, ``net`` and ``encoding/json``.
"""

from __future__ import annotations

import base64
import errno
import json
import re
from typing import Any, NamedTuple

from reference_registry.http import errors
from reference_registry.http.go_json import syntax_error, type_error
from reference_registry.profiles import Profile
from reference_registry.proxy.upstream.errors import (
    NoToken,
    Refusal,
    UpstreamBroken,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamUnreachable,
)

__all__ = ["GoError", "go_error"]

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


class GoError(NamedTuple):
    """An error value of Go: the text of ``Error()``, and the JSON of ``encoding/json``."""

    text: str
    struct: Any


def go_error(failure: UpstreamFailure, profile: Profile) -> GoError:
    """*failure* as a release represents it."""
    if isinstance(failure, UpstreamRefused):
        return _refusal(failure.refusal, profile)
    if isinstance(failure, UpstreamUnreachable):
        operation = failure.method.capitalize()
        return GoError(
            f'{operation} "{failure.url}": {failure.cause}',
            {"Op": operation, "URL": failure.url, "Err": _network_error(failure.cause)},
        )
    if isinstance(failure, NoToken):
        operation, inner = failure.method.capitalize(), go_error(failure.why, profile)
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
