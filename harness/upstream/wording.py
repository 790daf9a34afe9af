"""How failed assertions about requests speak. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import takewhile

__all__ = ["miscounted", "nearest"]


def nearest(line: str, expected: Sequence[str]) -> str:
    """A sentence that names the one of *expected* that is most like *line*, and where they part."""
    found = get_close_matches(line, expected, n=1, cutoff=0.0)
    if not found:
        return "nothing is expected"
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(line, found[0], strict=False))
    common = sum(1 for _ in alike)
    return f"nearest is {found[0]!r}: {found[0][common:]!r} instead of {line[common:]!r}"


def miscounted(
    wanted: str, found: int, times: int | None, lines: Sequence[str], ledger: str
) -> str:
    """That *wanted* was asked *found* times and not *times* (None: at least once). *lines* are all
    requests, *ledger* is the same with the answers."""
    if found:
        told = [f"asked {_times(found)}, not {_times(times or 0)}: {wanted}"]
    elif close := get_close_matches(wanted, lines, n=1, cutoff=0.0):
        told = [f"never asked: {wanted}", f"nearest is: {close[0]}"]
    else:
        told = [f"never asked: {wanted}"]
    return "\n".join([*told, "all requests:", *(f"  {line}" for line in ledger.splitlines())])


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")
