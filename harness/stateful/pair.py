"""Two targets that run the same sequences, the search for a difference, and texts about both."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky

from harness.compare.divergences import Divergence, Known, compared, divergences
from harness.compare.observation import Observation
from harness.compare.observation import Step as Exchange
from harness.stateful.driver import Driver
from harness.stateful.sequences import Operation, StepSequence, sequences
from harness.targets import Target

SCENARIO = "stateful"
"""The name in ``scenarios`` of ``divergences.toml``."""
SHRINKING = 60.0
"""Seconds to look for a smaller sequence, by default."""


@dataclass(frozen=True)
class PairStep:
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
    steps: tuple[PairStep, ...]

    @property
    def difference(self) -> Divergence | None:
        """The first unexplained difference."""
        return next((step.unexplained[0] for step in self.steps if step.unexplained), None)


@dataclass(frozen=True)
class Pair:
    """Two targets that run the same sequences; *known* explains differences."""

    left: Target
    right: Target
    known: Sequence[Known]

    def run(self, sequence: StepSequence) -> Execution:
        """Run *sequence* on a new registry of each, up to the first unexplained difference."""
        steps: list[PairStep] = []
        with (
            TemporaryDirectory(prefix="pullproof-") as scratch,
            Driver(self.left, sequence, Path(scratch, "left")) as left,
            Driver(self.right, sequence, Path(scratch, "right")) as right,
            ThreadPoolExecutor(2) as pool,
        ):
            for one in (*sequence.operations, None):
                seen = pool.map(
                    lambda driver, one: driver.end() if one is None else driver.do(one),
                    (left, right),
                    (one, one),
                )
                steps.append(self._compared(one, *seen))
                if steps[-1].unexplained:
                    break
        return Execution(sequence, tuple(steps))

    def _compared(self, one: Operation | None, left: Observation, right: Observation) -> PairStep:
        found = divergences(SCENARIO, left, right)
        judged = compared(SCENARIO, self.left.known_as, self.right.known_as, found, self.known)
        return PairStep(one, left, right, judged.unexplained, judged.explained)


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


_HEADERS = ("content-range", "docker-content-digest")
_MOST = 320
"""Characters of a line about one request."""


def render_execution(execution: Execution, left: str, right: str) -> str:
    """Each operation with what it showed; of both targets where they differ."""
    lines = [f"The registry is {execution.sequence.settings_in_words()}."]
    for number, step in enumerate(execution.steps, 1):
        words = "final storage and schedule" if step.operation is None else step.operation.words()
        lines.append(f"{number:3}. {words}")
        if step.left != step.right and step.operation is not None:
            for name, seen in ((left, step.left), (right, step.right)):
                lines += [f"       {name}:", *_shown(seen, " " * 9)]
        elif step.operation is not None:
            lines += _shown(step.left, " " * 7)
        lines += _judged(step, left, right)
    return "\n".join(lines) + "\n"


def _judged(step: PairStep, left: str, right: str) -> Iterable[str]:
    for known in {known for _, known in step.explained}:
        yield f"       (a known difference: {known.reason})"
    width = max(len(left), len(right))
    for one in step.unexplained:
        yield f"       They differ in {one.place}:"
        yield f"         {left:{width}}  {one.left}".rstrip()
        yield f"         {right:{width}}  {one.right}".rstrip()


def _shown(seen: Observation, indent: str) -> list[str]:
    lines = [f"{indent}{_exchange(exchange)}" for exchange in seen.steps]
    lines += [
        f"{indent}  upstream: {request}" + (f", {times} times" if times > 1 else "")
        for request, times in seen.upstream.items()
    ]
    return lines + [f"{indent}{name}: {text}" for name, text in seen.disk.items()]


def _exchange(one: Exchange) -> str:
    headers = [f"{name} {one.headers[name]}" for name in _HEADERS if name in one.headers]
    body = one.body.strip() if one.status is None or one.status >= 400 else ""
    parts = [str(one.status or "no answer"), *headers, body, one.error or ""]
    text = f"{one.request} -> {', '.join(part for part in parts if part)}"
    return text if len(text) <= _MOST else f"{text[:_MOST]} …"


def render_search(found: Search, left: str, right: str) -> str:
    """The totals of a search, in a few lines."""
    outcome = "no unexplained difference" if found.found is None else "they differ"
    lines = [f"{found.ran} sequences of seed {found.seed} on {left} and {right}: {outcome}"]
    lines += [f"  known difference: {reason}" for reason in sorted(found.explained)]
    flaky = Counter(one.difference.place for one in found.flaky if one.difference)
    lines += [
        f"  FLAKY difference, {times} times, not when the sequence ran again: {place}"
        for place, times in flaky.items()
    ]
    return "\n".join(lines) + "\n"
