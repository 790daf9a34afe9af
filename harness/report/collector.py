"""Collects the results of a run - in the controller, under pytest-xdist - and reports them."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.report.options import Wanted
from harness.report.transport import about_in, observed_in, result_in, trace_in
from harness.suite.deviations import Verdict
from harness.suite.results import About, Matrix, Result
from harness.suite.scenario import Need

if TYPE_CHECKING:
    from harness.compare.trace import Trace
    from harness.report.observed import Differential, Observed
    from harness.suite.recording import Recording
    from harness.targets import Target

__all__ = ["Collector"]


class Collector:
    """A pytest plugin of its own. *targets* is asked once there are results."""

    def __init__(self, targets: Callable[[], Sequence[Target]], wanted: Wanted) -> None:
        self._targets = targets
        self._wanted = wanted
        self._results: list[Result] = []
        self._abouts: dict[str, About] = {}
        self._observed: list[Observed] = []
        self._traces: dict[tuple[str, str], Trace] = {}
        self._began = time.monotonic()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        quiet = session.config.get_verbosity(pytest.Config.VERBOSITY_TEST_CASES) <= 0
        if self._wanted.progress and reporter is not None and reporter.isatty and quiet:
            from harness.report.progress import Live

            session.config.pluginmanager.register(Live(reporter), "pullproof-progress")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if result := result_in(report):
            self._results.append(result)
        if about := about_in(report):
            self._abouts[about.key] = about
        if observed := observed_in(report):
            self._observed.append(observed)
        if traced := trace_in(report):
            key, target, trace = traced
            self._traces[key, target] = trace

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        if report.when == "call" and report.passed:
            result = result_in(report)
            if result and result.verdict is Verdict.DEVIATES:
                return "deviates", "d", "DEVIATES"
        return None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._results or session.exitstatus != pytest.ExitCode.OK:
            return
        if self._unequal_twins or not (self._differs is None or self._differs.is_as_known):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        if not self._results:
            return
        self._print(terminalreporter)
        for path in self._write():
            terminalreporter.write_line(f"written to {path}")
        self._tell_github(terminalreporter, config)

    def _print(self, terminalreporter: pytest.TerminalReporter) -> None:
        from rich.console import Console

        from harness.report.terminal import (
            comfortable_width,
            print_differential,
            print_matrix,
            print_slowest,
        )

        matrix = self._matrix
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
        for line in self._unequal_twins:
            terminalreporter.write_line(f"NOT ALIKE {line}", red=True)
        if self._differs is not None:
            print_differential(self._differs, console)
        if self._wanted.slowest > 0:
            print_slowest(self._results, self._wanted.slowest, console)

    def _write(self) -> list[Path]:
        """Write all files that are wanted and return their paths; ``OSError``."""
        wanted, paths = self._wanted, []
        if wanted.record is not None:
            from harness.report.observed import write_recordings

            paths += write_recordings(self._recordings(), wanted.record)
        for path, render in (
            (wanted.json, _json),
            (wanted.html, _html),
            (wanted.markdown, _markdown),
        ):
            if path is not None:
                path.write_text(render(self._document), encoding="utf-8")
                paths.append(path)
        return paths

    def _tell_github(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        """Annotations and the job's summary, where GitHub Actions is what runs this."""
        if os.environ.get("GITHUB_ACTIONS") == "true":
            from harness.report.github import annotate

            workspace = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
            for line in annotate(self._document, root=config.rootpath, workspace=workspace):
                terminalreporter.write_line(line)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(_markdown(self._document))

    @cached_property
    def _matrix(self) -> Matrix:
        return Matrix.of(self._results, [target.name for target in self._targets()])

    @cached_property
    def _document(self) -> dict[str, Any]:
        from harness.report.document import Run, document

        run = Run(
            matrix=self._matrix,
            targets=self._targets(),
            abouts=self._abouts.values(),
            traces=self._traces,
            differential=self._differs,
            unequal=self._unequal_twins,
            seconds=time.monotonic() - self._began,
        )
        return document(run, datetime.now(UTC))

    @cached_property
    def _differs(self) -> Differential | None:
        from harness.report.observed import Differential

        if not self._wanted.has_baseline:
            return None
        targets = self._targets()
        return Differential(self._observed, targets, targets[-1])

    def _recordings(self) -> list[Recording]:
        from harness.report.observed import recordings
        from harness.suite.recording import RecordingTarget

        live = [one for one in self._targets() if not isinstance(one, RecordingTarget)]
        return recordings(self._observed, self._results, live)

    @cached_property
    def _unequal_twins(self) -> list[str]:
        """Cells in which two targets of one release differ without an entry that says why. Who is
        seen from outside alone has no twin."""
        return [
            line
            for left, right in itertools.combinations(self._targets(), 2)
            if (left.implementation, left.version) == (right.implementation, right.version)
            and Need.STORAGE in left.capabilities & right.capabilities
            for line in self._matrix.unequal(left.name, right.name)
        ]


def _json(document: dict[str, Any]) -> str:
    from harness.report.document import render_json

    return render_json(document)


def _html(document: dict[str, Any]) -> str:
    from harness.report.page import render_html

    return render_html(document)


def _markdown(document: dict[str, Any]) -> str:
    from harness.report.markdown import render_markdown

    return render_markdown(document)
