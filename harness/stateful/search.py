"""Hypothesis looks for the smallest story in which two targets differ."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky

from harness.stateful.pair import Playing
from harness.stateful.sequences import StepSequence, stories

__all__ = ["Search", "search"]


@dataclass
class Search:
    """What became of a search."""

    seed: int
    played: int = 0
    """Stories that Hypothesis made up, without those that only made a difference smaller."""
    found: Playing | None = None
    """The smallest story with an unexplained difference."""
    explained: set[str] = field(default_factory=set)
    """The reasons of the differences that were met and are listed."""
    by_chance: list[Playing] = field(default_factory=list)
    """Playings with a difference that the same story did not show again."""


class _TheyDiffer(Exception):
    pass


def search(play: Callable[[StepSequence], Playing], sequences: int, start: int) -> Search:
    """Play *sequences* stories, the same for the same *start*; end at the first difference that
    shows twice, with the smallest story that shows it."""
    result = Search(start)

    @seed(start)
    @settings(
        max_examples=sequences,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(stories())
    def look(story: StepSequence) -> None:
        if result.found is None:
            result.played += 1
        playing = play(story)
        if playing.difference is not None:
            again = play(story)
            if again.difference is None:
                result.by_chance.append(playing)
                playing = again
        result.explained.update(known.reason for act in playing.acts for _, known in act.explained)
        if playing.difference is not None:
            result.found = playing
            raise _TheyDiffer

    with suppress(_TheyDiffer, Flaky):
        look()
    return result
