"""One run of a scenario: what it observed, and the verdict."""

from __future__ import annotations

import time
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.suite.deviations import DeviationFile, Judgement, Verdict, suggest_entry
from harness.suite.expectation import Expectations
from harness.suite.recording import RecordingTarget
from harness.suite.results import MODEL, Result
from harness.suite.scenario import Need, Scenario

if TYPE_CHECKING:
    from harness.compare.observation import Observation
    from harness.compare.trace import Trace
    from harness.suite.lab import Lab
    from harness.targets import Target

_listed_beside = cache(DeviationFile.beside)
"""Read once: the files are long and do not change during a run."""


class ScenarioFailed(Exception):
    """A target showed something that neither the claim nor ``deviations.toml`` allows."""


class ScenarioRun:
    """One scenario, in one *case* (empty where it has only one), on one *target*.

    *target* is None where the scenario tests a client model instead of a registry. *directory*
    holds the scenario's file and ``deviations.toml``. *earlier* are problems of attempts that
    failed before. The ``lab`` is set by its fixture.
    """

    def __init__(
        self,
        scenario: Scenario,
        case: str,
        target: Target | None,
        directory: Path,
        earlier: tuple[str, ...] = (),
    ) -> None:
        self.scenario = scenario
        self.target = target
        # Findings about the disk also come from logs and the output of commands.
        sees_disk = target is None or Need.STORAGE in target.capabilities
        reads_output = not scenario.needs.isdisjoint({Need.LOGS, Need.GC})
        self.expectations = Expectations(sees_disk=sees_disk or reads_output)
        self.lab: Lab | None = None
        self.observation: Observation | None = None
        """All that was shown; set after the lab has closed, if the run records or compares."""
        self.trace: Trace | None = None
        """The exchanges in order; set after the lab has closed, if a report shows them."""
        self.result: Result | None = None
        self._case = case
        self._earlier = earlier
        self._directory = directory
        self._began = time.perf_counter()

    @property
    def key(self) -> str:
        """The scenario's id with the case in brackets, as deviations and reports name it."""
        return f"{self.scenario.id}[{self._case}]" if self._case else self.scenario.id

    @cached_property
    def missing_needs(self) -> list[str]:
        """What the scenario needs and the target does not offer, in words."""
        offered = self.target.capabilities if self.target else frozenset()
        return sorted(need.value for need in self.scenario.needs - offered)

    def conclude(self) -> None:
        """Judge the findings. Raises :class:`ScenarioFailed` with all problems, and
        :class:`~harness.compare.data.EntryFileError` for an invalid deviations file."""
        judgement = self._judge()
        self._settle(judgement)
        if judgement.verdict is Verdict.FAILS:
            raise ScenarioFailed(self._failure_text(judgement))

    def broke(self, error: Exception) -> None:
        """Record that the test function ended with *error*."""
        problem = f"the scenario ended early: {str(error).strip() or type(error).__name__}"
        problem = problem.splitlines()[0]
        self._settle(Judgement(Verdict.FAILS, problems=(problem,)))

    def replay(self, current: str) -> str | None:
        """Judge the recorded findings of this scenario, whose fingerprint is *current*. Returns
        None, or why the recording does not apply. Raises as :meth:`conclude` does."""
        assert isinstance(self.target, RecordingTarget)
        recorded = self.target.recording.scenarios.get(self.key)
        if recorded is None:
            return "not in the recording"
        if not current or recorded.fingerprint != current:
            return "the scenario has changed since the recording"
        if recorded.result.verdict is Verdict.NOT_APPLICABLE:
            return recorded.result.reason
        self.observation = recorded.observation
        self.expectations.findings = list(recorded.result.findings)
        self.conclude()
        return None

    def skipped(self, reason: str) -> None:
        """Record that the test was skipped, for *reason*."""
        self._settle(Judgement(Verdict.NOT_APPLICABLE), reason)

    def _judge(self) -> Judgement:
        findings = self.expectations.findings
        if not findings:
            return Judgement(Verdict.FAILS, problems=("the scenario checked nothing",))
        target = self.target
        return _listed_beside(self._directory).judge(
            self.key,
            findings,
            target=target.known_as if target else MODEL,
            implementation=target.implementation if target else MODEL,
            version=target.version if target else MODEL,
            sees_disk=self.expectations.sees_disk,
        )

    def _settle(self, judgement: Judgement, reason: str = "") -> None:
        verdict = judgement.verdict
        listed = judgement.deviation if verdict is Verdict.DEVIATES else None
        self.result = Result(
            key=self.key,
            claim=self.scenario.claim,
            level=self.scenario.level.value,
            refs=self.scenario.refs,
            target=self.target.name if self.target else MODEL,
            verdict=verdict,
            findings=tuple(self.expectations.findings),
            problems=judgement.problems,
            does=listed.does if listed else "",
            reference=listed.reference if listed else "",
            advice=listed.advice if listed else "",
            reason=reason,
            conversation=self.lab.conversation() if verdict is Verdict.FAILS and self.lab else "",
            excused=judgement.excused,
            seconds=round(time.perf_counter() - self._began, 3),
            earlier=self._earlier,
        )

    def _failure_text(self, judgement: Judgement) -> str:
        lines = [self.scenario.claim, *judgement.problems]
        mismatches = self.expectations.mismatches()
        target = self.target
        if target and mismatches and target.implementation != "pullproof":
            entry = suggest_entry(self.key, target.implementation, target.version, mismatches)
            lines += ["", "If this is a known deviation, add it to deviations.toml:", entry]
        return "\n".join(lines)
