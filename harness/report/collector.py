"""Collects the results of a run - in the controller, under pytest-xdist - and reports them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.deviations import Verdict
from harness.results import Matrix, Result

if TYPE_CHECKING:
    from harness.recording import Recording
    from harness.report.observed import Differential, Observed
    from harness.targets import Target

__all__ = ["OBSERVATION", "PROPERTY", "Collector", "result_in"]

PROPERTY = "pullproof"
"""The name of the user property of a test report that carries a result."""
OBSERVATION = "pullproof-observation"
"""Likewise, of what the scenario showed."""


def result_in(report: pytest.TestReport) -> Result | None:
    """The result that *report* carries, if it is a scenario's."""
    for name, value in report.user_properties:
        if name == PROPERTY and isinstance(value, dict):
            return Result.from_data(value)
    return None


class Collector:
    """A pytest plugin of its own. *targets* is asked once there are results; *json_file* and
    *record* are None where none is wanted. With *has_baseline* the last target is that."""

    def __init__(
        self,
        targets: Callable[[], Sequence[Target]],
        *,
        json_file: Path | None = None,
        has_baseline: bool = False,
        record: Path | None = None,
    ) -> None:
        self._targets = targets
        self._json_file = json_file
        self._has_baseline = has_baseline
        self._record = record
        self._results: list[Result] = []
        self._observed: list[Observed] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if result := result_in(report):
            self._results.append(result)
        for name, value in report.user_properties:
            if name == OBSERVATION and isinstance(value, dict):
                from harness.report.observed import Observed

                self._observed.append(Observed.from_data(value))

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        if report.when == "call" and report.passed:
            result = result_in(report)
            if result and result.verdict is Verdict.DEVIATES:
                return "deviates", "d", "DEVIATES"
        return None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._results or session.exitstatus != pytest.ExitCode.OK:
            return
        if self._unequal_twins() or not (self._differs is None or self._differs.is_as_known):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._results:
            return
        from rich.console import Console

        from harness.report.terminal import comfortable_width, print_matrix

        matrix = self._matrix()
        # Where nobody looks at a screen, such as in CI, lines may be as long as claims want them.
        width = terminalreporter._tw.fullwidth
        if not terminalreporter.isatty:
            width = max(width, comfortable_width(matrix))
        terminalreporter.section("pullproof")
        console = Console(
            file=terminalreporter._tw._file,
            force_terminal=terminalreporter.hasmarkup,
            width=width,
            highlight=False,
        )
        print_matrix(matrix, console)
        for line in self._unequal_twins():
            terminalreporter.write_line(f"NOT ALIKE {line}", red=True)
        if self._differs is not None:
            from harness.report.terminal import print_differential

            print_differential(self._differs, console)
        if self._record is not None:
            from harness.report.observed import write_recordings

            for path in write_recordings(self._recordings(), self._record):
                terminalreporter.write_line(f"recorded in {path}")
        if self._json_file is not None:
            from harness.report.json_file import write_json

            write_json(matrix, self._json_file, self._differs)
            terminalreporter.write_line(f"results written to {self._json_file}")

    def _matrix(self) -> Matrix:
        return Matrix.of(self._results, [target.name for target in self._targets()])

    @cached_property
    def _differs(self) -> Differential | None:
        from harness.report.observed import Differential

        targets = self._targets()
        return Differential(self._observed, targets, targets[-1]) if self._has_baseline else None

    def _recordings(self) -> list[Recording]:
        from harness.report.observed import recordings
        from harness.targets import RecordingTarget

        live = [one for one in self._targets() if not isinstance(one, RecordingTarget)]
        return recordings(self._observed, self._results, live)

    def _unequal_twins(self) -> list[str]:
        """Cells in which two targets of one release differ without an entry that says why."""
        matrix = self._matrix()
        return [
            line
            for left, right in itertools.combinations(self._targets(), 2)
            if (left.implementation, left.version) == (right.implementation, right.version)
            for line in matrix.unequal(left.name, right.name)
        ]
