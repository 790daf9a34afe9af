"""The order of everything observed, and the conversation that a failing scenario prints."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Protocol

_numbers = itertools.count(1)


def next_order() -> int:
    """The next number of this process; safe from any thread (``next`` of a count is atomic)."""
    return next(_numbers)


_DIGEST = re.compile(r"(sha\d{3}:[0-9a-f]{12})[0-9a-f]{52,}")


class Event(Protocol):
    """A request with its answer, as clients and upstreams keep it."""

    @property
    def order(self) -> int: ...
    def describe(self) -> str: ...


def render_conversation(
    registries: Sequence[tuple[Iterable[Event], str]], upstreams: Sequence[Iterable[Event]]
) -> str:
    """The requests that reached *registries* and *upstreams*, in order, those to upstream indented
    below the client's; then the last lines of the log of each registry. Digests are shortened in
    the former. Without a registry, requests to upstream come from the client."""
    indent, asks = ("    ", "registry") if registries else ("", "client")
    lines = [
        (event.order, f"client -> registry {number}: {event.describe()}")
        for number, (events, _) in enumerate(registries, 1)
        for event in events
    ]
    lines += [
        (event.order, f"{indent}{asks} -> upstream {number}: {event.describe()}")
        for number, events in enumerate(upstreams, 1)
        for event in events
    ]
    out = [_DIGEST.sub(r"\1...", text) for _, text in sorted(lines)]
    for number, (_, log) in enumerate(registries, 1):
        if tail := log.strip().splitlines()[-20:]:
            out.append(f"--- log of registry {number}, last {len(tail)} lines")
            out.extend(textwrap.shorten(line, 240, placeholder=" ...") for line in tail)
    return "\n".join(out)
