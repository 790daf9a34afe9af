"""Which requests an upstream expects. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.upstream.calls import Call
from harness.upstream.matching import Asked, Match

__all__ = ["Expectations"]


@dataclass(frozen=True)
class Expectations:
    """The requests that a test has announced; any other is unexpected."""

    expected: tuple[Match, ...]

    def __contains__(self, call: Call) -> bool:
        return any(match(call) for match in self.expected)

    def lines(self) -> list[str]:
        """The expectations in words."""
        return [str(match) for match in self.expected]

    def unmet_by(self, asked: Iterable[Asked]) -> list[Match]:
        """Those that none of *asked* is met by."""
        asked = tuple(asked)
        return [match for match in self.expected if not any(map(match, asked))]
