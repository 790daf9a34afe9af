"""Who said what to whom, in order: the story that a failing scenario prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Line", "render_conversation"]


@dataclass(frozen=True)
class Line:
    """One request with its answer. ``order`` is shared by clients and upstreams of a process."""

    order: int
    speaker: str
    """``client`` for a request to the registry under test, ``proxy`` for one to an upstream."""
    listener: str
    text: str


def render_conversation(lines: Iterable[Line], logs: Iterable[tuple[str, str]] = ()) -> str:
    """*lines* by their order, what the proxy asked upstream indented below the client's request;
    then the last lines of each log, given as (name, text)."""
    out = []
    for line in sorted(lines, key=lambda entry: entry.order):
        indent = "" if line.speaker == "client" else "    "
        out.append(f"{indent}{line.speaker} -> {line.listener}: {line.text}")
    for name, text in logs:
        tail = text.strip().splitlines()[-20:]
        if tail:
            out.append(f"--- log of {name}, last {len(tail)} lines")
            out.extend(tail)
    return "\n".join(out)
