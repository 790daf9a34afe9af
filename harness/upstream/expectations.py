"""Which requests an upstream expects, and what an unexpected one comes nearest to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import takewhile

from harness.upstream.calls import Call
from harness.upstream.matching import Match

__all__ = ["Expectations", "nearest"]


@dataclass(frozen=True)
class Expectations:
    """The requests that a test has announced; any other is unexpected."""

    expected: tuple[Match, ...]

    def __contains__(self, call: Call) -> bool:
        return any(match(call) for match in self.expected)

    def lines(self) -> list[str]:
        """The expectations in words."""
        return [str(match) for match in self.expected]


def nearest(line: str, expected: Sequence[str]) -> str:
    """A sentence that names the one of *expected* that is most like *line*, and where they part."""
    found = get_close_matches(line, expected, n=1, cutoff=0.0)
    if not found:
        return "nothing is expected"
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(line, found[0], strict=False))
    common = sum(1 for _ in alike)
    return f"nearest is {found[0]!r}: {found[0][common:]!r} instead of {line[common:]!r}"
