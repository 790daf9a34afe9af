"""The one result model that every report is made from.

A :class:`Result` is a cell of the matrix: one claim on one target. It travels from pytest-xdist's
workers to the controller as plain data, an extra attribute of a test report.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.suite.deviations import Judgement, Verdict
from harness.suite.expectation import Finding
from harness.suite.scenario import Scenario

__all__ = ["MODEL", "About", "Matrix", "Result"]

MODEL = "model"
"""The column of scenarios that ask a client model instead of a target."""


@dataclass(frozen=True)
class About:
    """What readers of a report want to know of a row, whatever the target."""

    key: str
    """As of :class:`Result`."""
    claim: str
    level: str
    refs: tuple[str, ...]
    why: str = ""
    needs: tuple[str, ...] = ()
    """What it needs of a target, in words."""
    file: str = ""
    """Where the scenario stands, relative to the root of the run, with ``/``."""
    line: int = 0
    """Counted from 1; 0 where it is not known."""

    @classmethod
    def of(cls, scenario: Scenario, key: str, file: str, line: int) -> About:
        """About *scenario* in the case that *key* names, which stands in *line* of *file*."""
        needs = tuple(sorted(need.value for need in scenario.needs))
        return cls(
            key,
            scenario.claim,
            scenario.level.value,
            scenario.refs,
            scenario.why,
            needs,
            file,
            line,
        )

    def as_data(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> About:
        """The reverse of :meth:`as_data`. ``TypeError`` or ``KeyError`` for other data."""
        return cls(**{**data, "refs": tuple(data["refs"]), "needs": tuple(data["needs"])})


@dataclass(frozen=True)
class Result:
    """What was found out about one claim on one target."""

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
    """For DEVIATES: where that is documented or was measured."""
    advice: str = ""
    """For DEVIATES: what to do about it, where somebody has written that down."""
    reason: str = ""
    """For NOT_APPLICABLE: what the target lacks."""
    conversation: str = ""
    """For FAILS: client, upstream and log in order."""
    excused: tuple[str, ...] = ()
    """Keys of the findings that ``differences.toml`` explains for this target."""
    seconds: float = 0.0

    @classmethod
    def of(cls, scenario: Scenario, case: str, target: str, judgement: Judgement) -> Result:
        """The result of judging *scenario*'s *case* (empty where it has only one)."""
        deviation = judgement.deviation if judgement.verdict is Verdict.DEVIATES else None
        return cls(
            key=f"{scenario.id}[{case}]" if case else scenario.id,
            claim=scenario.claim,
            level=scenario.level.value,
            refs=scenario.refs,
            target=target,
            verdict=judgement.verdict,
            problems=judgement.problems,
            excused=judgement.excused,
            does=deviation.does if deviation else "",
            reference=deviation.reference if deviation else "",
            advice=deviation.advice if deviation else "",
        )

    @property
    def theme(self) -> str:
        """The part of the key before the first dot."""
        return self.key.partition(".")[0]

    def as_data(self) -> dict[str, Any]:
        """As JSON values."""
        data = asdict(self)
        data["verdict"] = self.verdict.value
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Result:
        """The reverse of :meth:`as_data`."""
        values = dict(data)
        values["verdict"] = Verdict(values["verdict"])
        values["findings"] = tuple(Finding(**finding) for finding in values["findings"])
        for name in ("refs", "problems", "excused"):
            values[name] = tuple(values[name])
        return cls(**values)

    def essence(self, excused: Container[str]) -> tuple[Verdict | None, dict[str, Any]]:
        """What makes two cells alike: the mismatches but for the *excused* findings, from which
        follows whether a claim holds or deviates, or else the verdict."""
        settled = self.verdict in {Verdict.HOLDS, Verdict.DEVIATES}
        mismatches = {
            finding.key: finding.observed
            for finding in self.findings
            if not finding.holds and finding.key not in excused
        }
        return (None if settled else self.verdict), mismatches


@dataclass(frozen=True)
class Matrix:
    """Claims as rows, targets as columns."""

    targets: tuple[str, ...]
    rows: tuple[tuple[str, Mapping[str, Result]], ...]
    """Key to results by target, in the order in which scenarios stand in their files."""

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
        """Cells in which the columns of two targets are not alike, one line each.

        Cells are alike when every mismatch is the same, but for those that ``differences.toml``
        explains for either target. What does not apply to one of them says nothing of either: two
        ways of running one release do not offer the same.
        """
        return [
            f"{key}: {left} {one[1] or 'as claimed'}, {right} {other[1] or 'as claimed'}"
            for key, cells in self.rows
            if left in cells and right in cells
            if Verdict.NOT_APPLICABLE not in {cells[left].verdict, cells[right].verdict}
            for excused in [{*cells[left].excused, *cells[right].excused}]
            if (one := cells[left].essence(excused)) != (other := cells[right].essence(excused))
        ]
