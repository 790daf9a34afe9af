"""The result model that all reports share.

A :class:`Result` is a cell of the matrix: one claim on one target. It travels from the workers of
pytest-xdist to the controller as plain data, in an extra attribute of a test report.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.suite.deviations import Verdict
from harness.suite.expectation import Finding

MODEL = "model"
"""The column of scenarios that ask a client model instead of a target."""


@dataclass(frozen=True)
class About:
    """A row of the matrix: a scenario's claim, reason, sources and place, without a target."""

    key: str
    """As in :class:`Result`."""
    claim: str
    level: str
    refs: tuple[str, ...]
    why: str = ""
    needs: tuple[str, ...] = ()
    """What it needs of a target, in words."""
    file: str = ""
    """The scenario's file, relative to the root directory of the run, with ``/``."""
    line: int = 0
    """Counted from 1; 0 where unknown."""


@dataclass(frozen=True)
class Result:
    """The outcome of one claim on one target."""

    key: str
    """The scenario's id, with the case in brackets where it has several."""
    claim: str
    level: str
    refs: tuple[str, ...]
    target: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()
    """For FAILS, one line each."""
    does: str = ""
    """For DEVIATES: what the implementation does, in words."""
    reference: str = ""
    """For DEVIATES: where the deviation is documented or was measured."""
    advice: str = ""
    """For DEVIATES: what an operator can do about it, if ``deviations.toml`` has an advice."""
    reason: str = ""
    """For NOT_APPLICABLE: what the target lacks."""
    conversation: str = ""
    """For FAILS: requests, answers and logs in order."""
    excused: tuple[str, ...] = ()
    """Keys of the findings that ``differences.toml`` explains for this target."""
    seconds: float = 0.0
    earlier: tuple[str, ...] = ()
    """Problems of earlier attempts that failed, one line each. See :attr:`is_flaky`."""

    @property
    def is_flaky(self) -> bool:
        """Whether an attempt failed and a later one did not: the outcome is not reliable."""
        return bool(self.earlier) and self.verdict is not Verdict.FAILS

    @property
    def theme(self) -> str:
        """The part of the key before the first dot."""
        return self.key.partition(".")[0]

    def essence(self, excused: Container[str]) -> tuple[Verdict | None, dict[str, Any]]:
        """What two cells must share to match: the mismatches without the *excused* findings, and
        the verdict unless it is HOLDS or DEVIATES, which follows from the mismatches."""
        settled = self.verdict in {Verdict.HOLDS, Verdict.DEVIATES}
        mismatches = {
            finding.key: finding.observed
            for finding in self.findings
            if not finding.holds and finding.key not in excused
        }
        return (None if settled else self.verdict), mismatches


@dataclass(frozen=True)
class Incomplete:
    """A run that ended early: after *done* of *planned* tests (0: before they were counted)."""

    done: int
    planned: int

    def __str__(self) -> str:
        return f"INCOMPLETE {self.done}/{self.planned or '?'}"


@dataclass(frozen=True)
class Matrix:
    """Claims as rows, targets as columns."""

    targets: tuple[str, ...]
    rows: tuple[tuple[str, Mapping[str, Result]], ...]
    """Key to results by target, sorted by key."""

    @classmethod
    def of(cls, results: Iterable[Result], targets: Sequence[str]) -> Matrix:
        """Rows sorted by key, so that the matrix is the same however the work was spread."""
        rows: dict[str, dict[str, Result]] = {}
        for result in results:
            rows.setdefault(result.key, {})[result.target] = result
        columns = list(targets)
        if any(MODEL in row for row in rows.values()):
            columns.append(MODEL)
        return cls(tuple(columns), tuple(sorted(rows.items())))

    def count(self, target: str, verdict: Verdict) -> int:
        """How many claims have *verdict* on *target*."""
        return sum(
            1 for _, cells in self.rows if target in cells and cells[target].verdict is verdict
        )

    def unequal(self, left: str, right: str) -> list[str]:
        """Cells in which two columns do not match, one line each.

        Cells match when all mismatches are equal, without those that ``differences.toml`` explains
        for either target. Rows that do not apply to one of the targets are skipped: two ways of
        running a release may offer different things.
        """
        return [
            f"{key}: {left} {one[1] or 'as expected'}, {right} {other[1] or 'as expected'}"
            for key, cells in self.rows
            if left in cells and right in cells
            if Verdict.NOT_APPLICABLE not in {cells[left].verdict, cells[right].verdict}
            for excused in [{*cells[left].excused, *cells[right].excused}]
            if (one := cells[left].essence(excused)) != (other := cells[right].essence(excused))
        ]
