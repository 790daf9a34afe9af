"""Two targets on which the same stories are played."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

from harness.compare.differential import Divergence, divergences
from harness.compare.divergences import Known, compared
from harness.compare.observation import Observation
from harness.stateful.content import Content
from harness.stateful.driver import Driver
from harness.stateful.operations import Operation
from harness.stateful.sequences import StepSequence
from harness.targets import Target

__all__ = ["SCENARIO", "Act", "Pair", "Playing"]

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
        for settings in list(self._stages):
            self._close(settings)
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
