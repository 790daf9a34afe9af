"""Statuses and registries' own errors in the words of Go clients.

Error documents: OCI distribution-spec, "Error Codes".
"""

from __future__ import annotations

import json
from http import HTTPStatus

__all__ = ["registry_errors", "status_line"]


def status_line(status: int) -> str:
    """``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def registry_errors(body: bytes) -> str | None:
    """The errors of an OCI error document, as containerd prints them; None if there are none."""
    try:
        errors = json.loads(body)["errors"]
        texts = [f"{_code(str(error['code']))}: {error['message']}" for error in errors]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return texts[0] if len(texts) == 1 else "errors:\n" + "\n".join(texts) if texts else None


_KNOWN_CODES = frozenset(
    {"UNSUPPORTED", "UNAUTHORIZED", "DENIED", "UNAVAILABLE", "TOOMANYREQUESTS"}
)


def _code(code: str) -> str:
    return code.lower() if code in _KNOWN_CODES else "unknown"
