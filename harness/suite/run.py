"""A test that proves a scenario: what it has looked at, and what that comes to."""

from __future__ import annotations

import time
from dataclasses import replace
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

__all__ = ["ScenarioFailed", "ScenarioRun"]


_listed_beside = cache(DeviationFile.beside)
"""Thousands of lines that each scenario is judged by; nobody changes them during a run."""


class ScenarioFailed(Exception):
    """A target showed something that neither the claim nor the deviations file says."""


def _sees_disk(scenario: Scenario, target: Target | None) -> bool:
    """Whether what is said of the disk can be meant: logs and command output count as that too."""
    offered = target.capabilities if target else frozenset(Need)
    return Need.STORAGE in offered or not scenario.needs.isdisjoint({Need.LOGS, Need.GC})


class ScenarioRun:
    """One scenario, in one *case* (empty where it has only one), on one *target*.

    *target* is None where a client model is asked instead of a registry. *directory* is where the
    scenario's file lies, and ``deviations.toml`` beside it. ``lab`` is set once one is in use.
    """

    def __init__(
        self, scenario: Scenario, case: str, target: Target | None, directory: Path
    ) -> None:
        self.scenario = scenario
        self.target = target
        self.expectations = Expectations(sees_disk=_sees_disk(scenario, target))
        self.lab: Lab | None = None
        self.observation: Observation | None = None
        """What everything showed; there once the lab has closed, where somebody wants it."""
        self.trace: Trace | None = None
        """Likewise, the story of the run, where a report shows it."""
        self.result: Result | None = None
        self._case = case
        self._directory = directory
        self._began = time.perf_counter()

    @property
    def key(self) -> str:
        """The scenario's id, with the case in brackets; what deviations and reports call it."""
        return f"{self.scenario.id}[{self._case}]" if self._case else self.scenario.id

    @cached_property
    def missing_needs(self) -> list[str]:
        """What the scenario needs and the target does not offer, in words."""
        offered = self.target.capabilities if self.target else frozenset()
        return sorted(need.value for need in self.scenario.needs - offered)

    def conclude(self) -> None:
        """Judge what was looked at. Raises :class:`ScenarioFailed` with all that is wrong, and
        :class:`~harness.deviations.DeviationFileError` where the list cannot be used."""
        judgement = self._judge()
        self._settle(judgement)
        if judgement.verdict is Verdict.FAILS:
            raise ScenarioFailed(self._failure_text(judgement))

    def broke(self, error: Exception) -> None:
        """The test itself ended with *error*."""
        problem = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        self._settle(Judgement(Verdict.FAILS, problems=(problem,)))

    def replay(self, current: str) -> str | None:
        """Judge what a recording has of this scenario, whose fingerprint is *current* by now.
        Returns why it tells nothing about it, or None. Raises as :meth:`conclude` does."""
        assert isinstance(self.target, RecordingTarget)
        recorded = self.target.recording.scenarios.get(self.key)
        if recorded is None:
            return "it is not in the recording"
        if not current or recorded.fingerprint != current:
            return "the scenario has changed since it was recorded"
        if recorded.result.verdict is Verdict.NOT_APPLICABLE:
            return recorded.result.reason
        self.observation = recorded.observation
        self.expectations.findings = list(recorded.result.findings)
        self.conclude()
        return None

    def skipped(self, reason: str) -> None:
        """The test did not run, for *reason*."""
        self._settle(Judgement(Verdict.NOT_APPLICABLE))
        assert self.result is not None
        self.result = replace(self.result, reason=reason)

    def _judge(self) -> Judgement:
        findings = self.expectations.findings
        if not findings:
            return Judgement(Verdict.FAILS, problems=("the scenario looked at nothing",))
        target = self.target
        return _listed_beside(self._directory).judge(
            self.key,
            findings,
            target=target.known_as if target else MODEL,
            implementation=target.implementation if target else MODEL,
            version=target.version if target else MODEL,
            sees_disk=self.expectations.sees_disk,
        )

    def _settle(self, judgement: Judgement) -> None:
        failed = judgement.verdict is Verdict.FAILS
        self.result = replace(
            Result.of(
                self.scenario, self._case, self.target.name if self.target else MODEL, judgement
            ),
            findings=tuple(self.expectations.findings),
            seconds=round(time.perf_counter() - self._began, 3),
            conversation=self.lab.conversation() if failed and self.lab else "",
        )

    def _failure_text(self, judgement: Judgement) -> str:
        lines = [self.scenario.claim, *judgement.problems]
        mismatches = self.expectations.mismatches()
        target = self.target
        if target and mismatches and target.implementation != "pullproof":
            entry = suggest_entry(self.key, target.implementation, target.version, mismatches)
            lines += ["", "Where this is known and has a reference, deviations.toml takes:", entry]
        return "\n".join(lines)
