"""Two targets on which the same stories are played."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky

from harness.compare.divergences import Divergence, Known, compared, divergences
from harness.compare.observation import Observation
from harness.stateful.content import Content
from harness.stateful.driver import Driver
from harness.stateful.operations import Operation
from harness.stateful.sequences import StepSequence, stories
from harness.targets import Target

__all__ = ["SCENARIO", "Act", "Pair", "Playing", "Search", "search"]

SCENARIO = "stateful"
"""What ``divergences.toml`` calls it in ``scenarios``."""

_DISTURBING = frozenset({"collect", "later"})
"""Operations that touch what other stories left, so that such a story has a registry of its own."""


@dataclass(frozen=True)
class Act:
    """One operation on both; the end of the story where ``operation`` is None."""

    operation: Operation | None
    left: Observation
    right: Observation
    unexplained: tuple[Divergence, ...] = ()
    explained: tuple[tuple[Divergence, Known], ...] = ()


@dataclass(frozen=True)
class Playing:
    """A story as far as it was played: to the first act with an unexplained difference."""

    story: StepSequence
    acts: tuple[Act, ...]

    @property
    def difference(self) -> Divergence | None:
        """The first that is unexplained."""
        return next((act.unexplained[0] for act in self.acts if act.unexplained), None)


@dataclass
class Pair:
    """*left* and *right*, with registries in *workdir* that are kept running from story to story.
    *known* explains differences. Use as a context manager."""

    left: Target
    right: Target
    known: Sequence[Known]
    workdir: Path
    _stages: dict[Any, tuple[Driver, Driver]] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in list(self._stages):
            self._close(opened)
        self._pool.shutdown()

    def play(self, story: StepSequence) -> Playing:
        """Play *story* on both, up to the first unexplained difference."""
        settings = story.kind, story.cache, story.delete_enabled
        happening = story.happening
        disturbing = any(one.do in _DISTURBING for one in happening)
        if disturbing:
            self._close(settings)
        stages = self._stages.get(settings) or self._open(settings, story)
        content = Content(next(self._numbers))
        for stage in stages:
            stage.begin(content)
        acts: list[Act] = []
        try:
            for one in (*happening, None):
                acts.append(self._act(stages, one))
                if acts[-1].unexplained:
                    break
        except BaseException:
            self._close(settings)
            raise
        # After a difference they are no longer alike.
        if disturbing or acts[-1].unexplained:
            self._close(settings)
        return Playing(story, tuple(acts))

    def _act(self, stages: tuple[Driver, Driver], one: Operation | None) -> Act:
        def seen(stage: Driver) -> Observation:
            return stage.end() if one is None else stage.do(one)

        left, right = self._pool.map(seen, stages)
        found = divergences(SCENARIO, left, right)
        judged = compared(SCENARIO, self.left.known_as, self.right.known_as, found, self.known)
        return Act(one, left, right, judged.unexplained, judged.explained)

    def _open(self, settings: Any, story: StepSequence) -> tuple[Driver, Driver]:
        number = next(self._numbers)
        left = Driver(self.left, story, self.workdir / f"left-{number}")
        try:
            right = Driver(self.right, story, self.workdir / f"right-{number}")
        except BaseException:
            left.close()
            raise
        self._stages[settings] = (left, right)
        return left, right

    def _close(self, settings: Any) -> None:
        for stage in self._stages.pop(settings, ()):
            with suppress(OSError):
                stage.close()


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
