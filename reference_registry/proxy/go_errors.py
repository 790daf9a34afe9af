"""How releases show upstream's errors to their clients: as text (3.x) or as Go structs (2.8).

The wording is that of distribution's ``registry/client/errors.go`` and of Go's ``net/url``.
"""

from __future__ import annotations

import base64
import errno
import json
import re
from typing import Any

from reference_registry.proxy.failures import (
    Refusal,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamUnreachable,
)

__all__ = ["struct_of", "text_of"]

_MESSAGES = {
    "BLOB_UNKNOWN": "blob unknown to registry",
    "DENIED": "requested access to the resource is denied",
    "DIGEST_INVALID": "provided digest did not match uploaded content",
    "MANIFEST_UNKNOWN": "manifest unknown",
    "NAME_INVALID": "invalid repository name",
    "NAME_UNKNOWN": "repository name not known to registry",
    "TOOMANYREQUESTS": "too many requests",
    "UNAUTHORIZED": "authentication required",
    "UNAVAILABLE": "service unavailable",
    "UNKNOWN": "unknown error",
    "UNSUPPORTED": "The operation is unsupported.",
}
"""The codes that Go's client knows, with the messages that it leaves out of a text."""

_REFUSED = re.compile(r"dial tcp \[?([^\]]*)\]?:(\d+): connect: connection refused")


def text_of(failure: UpstreamFailure) -> str:
    """*failure* as Go's ``error.Error()`` words it."""
    if isinstance(failure, UpstreamUnreachable):
        return f'{failure.method.capitalize()} "{failure.url}": {failure.cause}'
    if not isinstance(failure, UpstreamRefused):
        return str(failure)
    refusal = failure.refusal
    if not 400 <= refusal.status < 500:
        return f"received unexpected HTTP status: {refusal.status} {refusal.reason}"
    errors = _errors(refusal)
    if errors is not None:
        texts = [_text_of_error(error) for error in errors]
        return texts[0] if len(texts) == 1 else "\n".join(["errors:", *texts, ""])
    if refusal.status == 401:
        return "unauthorized: authentication required"
    problem, _ = _parse_problem(refusal.body)
    body = json.dumps(refusal.body.decode("utf-8", "replace"), ensure_ascii=False)
    return f"error parsing HTTP {refusal.status} response body: {problem}: {body}"


def struct_of(failure: UpstreamFailure) -> Any:
    """*failure* as Go's ``encoding/json`` shows the error value."""
    if isinstance(failure, UpstreamUnreachable):
        cause = _dial_error(failure.cause)
        return {"Op": failure.method.capitalize(), "URL": failure.url, "Err": cause}
    if not isinstance(failure, UpstreamRefused):
        return {}
    refusal = failure.refusal
    if not 400 <= refusal.status < 500:
        return {"Status": f"{refusal.status} {refusal.reason}"}
    errors = _errors(refusal)
    if errors is not None:
        return {"errors": errors}
    encoded = base64.b64encode(refusal.body).decode("ascii")
    if refusal.status == 401:
        return {"code": "UNAUTHORIZED", "message": _MESSAGES["UNAUTHORIZED"], "detail": encoded}
    _, problem = _parse_problem(refusal.body)
    return {"ParseErr": problem, "StatusCode": refusal.status, "Response": encoded}


def _dial_error(cause: str) -> dict[str, Any]:
    """The ``net.OpError`` of a refused connection; empty for everything else."""
    match = _REFUSED.fullmatch(cause)
    if match is None:
        return {}
    address = {"IP": match[1], "Port": int(match[2]), "Zone": ""}
    error = {"Syscall": "connect", "Err": errno.ECONNREFUSED}
    return {"Op": "dial", "Net": "tcp", "Source": None, "Addr": address, "Err": error}


def _errors(refusal: Refusal) -> list[dict[str, Any]] | None:
    """The entries of an OCI error body, unknown codes made ``UNKNOWN``; None for other bodies."""
    try:
        entries = json.loads(refusal.body)["errors"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
    if not isinstance(entries, list) or not entries:
        return None
    errors = []
    for entry in entries:
        if not isinstance(entry, dict):
            return None
        code = str(entry.get("code", "")).upper()
        code = code if code in _MESSAGES else "UNKNOWN"
        error = {"code": code, "message": str(entry.get("message") or _MESSAGES[code])}
        if entry.get("detail") is not None:
            error["detail"] = entry["detail"]
        errors.append(error)
    return errors


def _text_of_error(error: dict[str, Any]) -> str:
    name = str(error["code"]).lower().replace("_", " ")
    if error["message"] == _MESSAGES[error["code"]] and "detail" not in error:
        return name
    return f"{name}: {error['message']}"


def _parse_problem(body: bytes) -> tuple[str, dict[str, int]]:
    """Why *body* is no list of errors, as text and as struct."""
    text = body.decode("utf-8", "replace").lstrip()
    if not text:
        return "unexpected end of JSON input", {"Offset": 0}
    if text[0] in '{["tfn-0123456789':
        return "no error details found in HTTP response body", {}
    return f"invalid character {text[0]!r} looking for beginning of value", {"Offset": 1}
