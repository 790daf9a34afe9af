"""The errors of Go's ``encoding/json``: the message, and the struct that releases of distribution
marshal into the ``detail`` of an error. No I/O.
"""

from __future__ import annotations

import json
from typing import Any


def unreadable(content: bytes) -> dict[str, Any]:
    """The error struct for *content* where a JSON object is expected; empty if it is one."""
    text = content.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        ends_early = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        begins_well = text.lstrip()[:1] not in {"", *"tfn"} and error.pos > 0
        if begins_well and not ends_early:
            return {"Offset": len(text[: error.pos + 1].encode())}
        return syntax_error(text)[1]
    except (ValueError, RecursionError):
        return {}
    if isinstance(document, dict) or document is None:
        return {}
    return type_error(text.strip(), "")[1]


def syntax_error(text: str) -> tuple[str, dict[str, Any]]:
    """Of *text* that does not begin as JSON does, or ends too early."""
    start = len(text) - len(text.lstrip())
    if start == len(text) or text[start] in '{["tfn-0123456789':
        return "unexpected end of JSON input", {"Offset": len(text.encode())}
    problem = f"invalid character {text[start]!r} looking for beginning of value"
    return problem, {"Offset": start + 1}


def type_error(text: str, wanted: str) -> tuple[str, dict[str, Any]]:
    """Of *text* that is JSON, but not an object of the Go type *wanted*."""
    kind, offset = {'"': ("string", len(text)), "[": ("array", 1)}.get(
        text[0], ("bool" if text[0] in "tf" else "number", len(text))
    )
    if text == "null":
        return "no error details found in HTTP response body", {}
    return (
        f"json: cannot unmarshal {kind} into Go value of type {wanted}",
        {"Value": kind, "Type": {}, "Offset": offset, "Struct": "", "Field": ""},
    )
