"""Comparing what two targets showed in one scenario. Pure: two observations in, differences out.

Steps of clients are aligned by what was asked, so that one further request does not make all that
follow look different. The first divergence is told first: what comes later often follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from harness.compare.observation import NOT_SAVED, Observation, Step

__all__ = ["ABSENT", "Divergence", "divergences"]

_LENGTH = "header content-length"
"""Not told where the bodies differ, of which it follows."""
ABSENT = "absent"
"""What a side shows that lacks what the other has."""


@dataclass(frozen=True)
class Divergence:
    """One field in which two targets differ."""

    scenario: str
    """The scenario's key."""
    step: str
    """The client's request, ``upstream``, ``disk`` or ``state``."""
    field: str
    """Such as ``status``, ``header etag``, ``body``; a request to upstream; a file's path."""
    left: Any
    right: Any
    number: int = 0
    """Which of the client's requests it was, counted from 1; 0 for the other sides."""

    @property
    def place(self) -> str:
        """Where it is, in words."""
        numbered = f"{self.number}. {self.step}" if self.number else self.step
        return f"{numbered}: {self.field}"

    def describe(self, left: str, right: str) -> str:
        """Both sides in a few lines, by the names of the targets."""
        width = max(len(left), len(right))
        return "\n".join(
            (
                f"{self.scenario}: {self.place}",
                f"    {left:{width}}  {self.left}",
                f"    {right:{width}}  {self.right}",
            )
        )


def divergences(scenario: str, left: Observation, right: Observation) -> list[Divergence]:
    """All fields in which *left* and *right* differ: clients' steps in their order, then upstream,
    disk and state."""
    return [
        *_of_steps(scenario, left.steps, right.steps),
        *_of_mappings(scenario, "upstream", left.upstream, right.upstream),
        *_of_mappings(scenario, "disk", left.disk, right.disk),
        *_of_state(scenario, left.state, right.state),
    ]


def _of_steps(
    scenario: str, left: tuple[Step, ...], right: tuple[Step, ...]
) -> Iterator[Divergence]:
    for number, one, other in _aligned(left, right):
        if one is None or other is None:
            told = one or other
            assert told is not None
            outcome = f"{told.status}" if told.error is None else f"{told.error}"
            seen = (outcome, ABSENT) if other is None else (ABSENT, outcome)
            yield Divergence(scenario, told.request, "the request itself", *seen, number)
            continue
        fields, others = one.fields(), other.fields()
        for name in (*fields, *(name for name in others if name not in fields)):
            seen = (fields.get(name, ABSENT), others.get(name, ABSENT))
            follows = name == _LENGTH and fields.get("body") != others.get("body")
            if seen[0] != seen[1] and not follows:
                yield Divergence(scenario, one.request, name, *seen, number)


def _aligned(
    left: tuple[Step, ...], right: tuple[Step, ...]
) -> Iterator[tuple[int, Step | None, Step | None]]:
    """Pairs of steps that ask the same, numbered as on the left; None opposite one that only one
    side has."""
    matcher = SequenceMatcher(
        a=[step.request for step in left], b=[step.request for step in right], autojunk=False
    )
    for kind, begin, end, other_begin, other_end in matcher.get_opcodes():
        if kind == "equal":
            pairs = zip(left[begin:end], right[other_begin:other_end], strict=True)
            for number, (one, other) in enumerate(pairs, begin + 1):
                yield number, one, other
            continue
        for number, one in enumerate(left[begin:end], begin + 1):
            yield number, one, None
        for other in right[other_begin:other_end]:
            yield begin + 1, None, other


def _of_state(
    scenario: str, left: Mapping[str, str], right: Mapping[str, str]
) -> Iterable[Divergence]:
    # Of what one side has not written down yet nothing is known.
    if NOT_SAVED in {*left.values(), *right.values()}:
        return ()
    return _of_mappings(scenario, "state", left, right)


def _of_mappings(
    scenario: str, step: str, left: Mapping[str, Any], right: Mapping[str, Any]
) -> Iterable[Divergence]:
    for name in sorted({**left, **right}):
        seen = (left.get(name, ABSENT), right.get(name, ABSENT))
        if seen[0] != seen[1]:
            yield Divergence(scenario, step, name, *seen)
