"""The order of observed requests, and the conversation that a failing scenario prints."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Line", "next_order", "render_conversation"]

_numbers = itertools.count(1)


def next_order() -> int:
    """The next number of this process; safe from any thread (``next`` of a count is atomic)."""
    return next(_numbers)


_DIGEST = re.compile(r"(sha\d{3}:[0-9a-f]{12})[0-9a-f]{52,}")


@dataclass(frozen=True)
class Line:
    """One request with its response. ``order`` counts the requests of clients and upstreams."""

    order: int
    speaker: str
    """``client`` for a request to the registry under test, ``registry`` for one to an upstream."""
    listener: str
    text: str


def render_conversation(lines: Iterable[Line], logs: Iterable[tuple[str, str]] = ()) -> str:
    """*lines* in their order, requests to upstream indented below the client's, with short digests;
    then the last lines of each of *logs*, which are (name, text)."""
    out = []
    for line in sorted(lines, key=lambda entry: entry.order):
        indent = "" if line.speaker == "client" else "    "
        text = _DIGEST.sub(r"\1...", line.text)
        out.append(f"{indent}{line.speaker} -> {line.listener}: {text}")
    for name, text in logs:
        tail = text.strip().splitlines()[-20:]
        if tail:
            out.append(f"--- log of {name}, last {len(tail)} lines")
            out.extend(textwrap.shorten(line, 240, placeholder=" ...") for line in tail)
    return "\n".join(out)
