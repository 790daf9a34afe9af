"""Two targets that run the same sequences of operations, and the search for a difference."""

from __future__ import annotations

import time
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
from harness.stateful.driver import Content, Driver
from harness.stateful.operations import Operation
from harness.stateful.sequences import StepSequence, sequences
from harness.targets import Target

__all__ = ["SCENARIO", "Execution", "Pair", "Search", "Step", "search"]

SCENARIO = "stateful"
"""The name in ``scenarios`` of ``divergences.toml``."""
SHRINKING = 60.0
"""Seconds to look for a smaller sequence, by default."""

_NEEDS_OWN_REGISTRY = frozenset({"collect", "later"})
"""Operations that change what other sequences left in a registry."""


@dataclass(frozen=True)
class Step:
    """One operation on both targets; the final state where ``operation`` is None."""

    operation: Operation | None
    left: Observation
    right: Observation
    unexplained: tuple[Divergence, ...] = ()
    explained: tuple[tuple[Divergence, Known], ...] = ()


@dataclass(frozen=True)
class Execution:
    """A sequence as far as it ran: up to the first step with an unexplained difference."""

    sequence: StepSequence
    steps: tuple[Step, ...]

    @property
    def difference(self) -> Divergence | None:
        """The first unexplained difference."""
        return next((step.unexplained[0] for step in self.steps if step.unexplained), None)


@dataclass
class Pair:
    """*left* and *right*, with registries in *workdir* that stay up between sequences. *known*
    explains differences. Use as a context manager."""

    left: Target
    right: Target
    known: Sequence[Known]
    workdir: Path
    _drivers: dict[Any, tuple[Driver, Driver]] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in list(self._drivers):
            self._close(opened)
        self._pool.shutdown()

    def run(self, sequence: StepSequence) -> Execution:
        """Run *sequence* on both, up to the first unexplained difference."""
        key = sequence.kind, sequence.cache, sequence.delete_enabled
        operations = sequence.effective
        alone = any(one.do in _NEEDS_OWN_REGISTRY for one in operations)
        if alone:
            self._close(key)
        drivers = self._drivers.get(key) or self._open(key, sequence)
        content = Content(next(self._numbers))
        steps: list[Step] = []
        try:
            for driver in drivers:
                driver.begin(content)
            for one in (*operations, None):
                steps.append(self._step(drivers, one))
                if steps[-1].unexplained:
                    break
        except BaseException:
            self._close(key)
            raise
        if alone or steps[-1].unexplained:
            self._close(key)  # The two registries no longer have the same state.
        return Execution(sequence, tuple(steps))

    def _step(self, drivers: tuple[Driver, Driver], one: Operation | None) -> Step:
        def observe(driver: Driver) -> Observation:
            return driver.end() if one is None else driver.do(one)

        left, right = self._pool.map(observe, drivers)
        found = divergences(SCENARIO, left, right)
        judged = compared(SCENARIO, self.left.known_as, self.right.known_as, found, self.known)
        return Step(one, left, right, judged.unexplained, judged.explained)

    def _open(self, key: Any, sequence: StepSequence) -> tuple[Driver, Driver]:
        number = next(self._numbers)
        left = Driver(self.left, sequence, self.workdir / f"left-{number}")
        try:
            right = Driver(self.right, sequence, self.workdir / f"right-{number}")
        except BaseException:
            left.close()
            raise
        self._drivers[key] = (left, right)
        return left, right

    def _close(self, key: Any) -> None:
        for driver in self._drivers.pop(key, ()):
            with suppress(OSError):
                driver.close()


# -- searching -----------------------------------------------------------------------------------


@dataclass
class Search:
    """The outcome of a search."""

    seed: int
    ran: int = 0
    """Sequences that Hypothesis generated, without those that only shrink a difference."""
    found: Execution | None = None
    """The smallest sequence with an unexplained difference."""
    explained: set[str] = field(default_factory=set)
    """The reasons of the known differences that occurred."""
    flaky: list[Execution] = field(default_factory=list)
    """Executions with a difference that did not occur when the sequence ran again."""


class _TheyDiffer(Exception):
    pass


def search(
    run: Callable[[StepSequence], Execution],
    number: int,
    start: int,
    shrinking: float = SHRINKING,
) -> Search:
    """Run *number* sequences, the same for the same *start*, and end at the first difference that
    occurs twice. Hypothesis then spends up to *shrinking* seconds on a smaller sequence."""
    result = Search(start)
    deadline = float("inf")

    @seed(start)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(sequences())
    def check(sequence: StepSequence) -> None:
        nonlocal deadline
        if result.found is None:
            result.ran += 1
        elif time.monotonic() > deadline:
            return  # Out of time: no further candidate counts as smaller.
        execution = run(sequence)
        if execution.difference is not None:
            repeated = run(sequence)
            if repeated.difference is None:
                result.flaky.append(execution)
            execution = repeated
        for step in execution.steps:
            result.explained.update(known.reason for _, known in step.explained)
        if execution.difference is not None:
            if result.found is None:
                deadline = time.monotonic() + shrinking
            result.found = execution
            raise _TheyDiffer

    with suppress(_TheyDiffer, Flaky):
        check()
    return result
