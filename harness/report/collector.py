"""Collects the results of a run and writes the reports; with pytest-xdist, in the controller."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from harness.report.options import Wanted
from harness.report.transport import (
    about_in,
    add_incomplete,
    result_in,
    seen_in,
    write_junit,
)
from harness.suite.deviations import Verdict
from harness.suite.results import About, Incomplete, Matrix, Result
from harness.system.needs import Need

if TYPE_CHECKING:
    from harness.compare.trace import Trace
    from harness.report.observed import Differential, Observed
    from harness.targets import Target

_WORKERS_LEAVE = 0.5
"""Seconds that workers of pytest-xdist get to clean up in after Ctrl-C, before they are killed."""


_GRACE = 1.2
"""Seconds after Ctrl-C until the process ends, unless it has ended on its own."""


class InterruptGuard:
    """Ends a run soon after Ctrl-C, with its reports written, even while a scenario blocks: Python
    raises ``KeyboardInterrupt`` at once, but a scenario may then wait for its own threads, whose
    requests hang on purpose for up to a minute.

    Handles SIGINT while installed. *report* writes all reports, from another thread.
    :attr:`lock` is held while reports are written, :attr:`reported` is set once they are, and
    :attr:`interrupted` after Ctrl-C.
    """

    def __init__(self, report: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self.reported = False
        self.interrupted = False
        self._report = report
        self._previous: Callable[[int, FrameType | None], object] | int | None = None

    def install(self) -> None:
        """Take over SIGINT; does nothing outside the main thread, or the second time."""
        if self._previous is None and threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, self._interrupted)

    def uninstall(self) -> None:
        """Give SIGINT back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self.interrupted, previous = True, self._previous
        self.uninstall()  # A second Ctrl-C is handled as usual.
        threading.Thread(target=self._end, daemon=True).start()
        if callable(previous):
            previous(number, frame)

    def _end(self) -> None:
        time.sleep(_GRACE)
        with self.lock:
            if not self.reported:
                self._report()
            os._exit(2)


class Collector:
    """A pytest plugin object. *targets* is called once there are results; *rerun* are the arguments
    of ``pullproof run`` that choose the same targets."""

    def __init__(
        self, targets: Callable[[], Sequence[Target]], wanted: Wanted, rerun: Sequence[str]
    ) -> None:
        self._targets = targets
        self._wanted = wanted
        self._rerun = rerun
        self._results: list[Result] = []
        self._abouts: dict[str, About] = {}
        self._observed: list[Observed] = []
        self._traces: dict[tuple[str, str], Trace] = {}
        self._began = time.monotonic()
        self._planned = 0
        self._done: set[str] = set()
        self._session: pytest.Session | None = None
        self._guard = InterruptGuard(self._report_in_haste)

    # -- how far the run is -----------------------------------------------------------------------
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._planned = self._planned or len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: list[str]) -> None:
        del node  # All workers collect the same tests.
        self._planned = len(ids)

    @property
    def _incomplete(self) -> Incomplete | None:
        """How many tests ran of how many, unless all did."""
        done, planned = len(self._done), self._planned
        ended_early = done < planned or (self._guard.interrupted and not planned)
        return Incomplete(done, planned) if ended_early else None

    # -- what was found ---------------------------------------------------------------------------
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session
        if self._wanted.progress:
            self._guard.install()
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        quiet = session.config.get_verbosity(pytest.Config.VERBOSITY_TEST_CASES) <= 0
        if self._wanted.progress and reporter is not None and reporter.isatty and quiet:
            from harness.report.terminal import Live

            session.config.pluginmanager.register(Live(reporter), "pullproof-progress")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self._done.add(report.nodeid)
        if result := result_in(report):
            self._results.append(result)
            self._guard.install()
        if about := about_in(report):
            self._abouts[about.key] = about
        if seen := seen_in(report):
            key, target, observed, trace = seen
            if observed:
                self._observed.append(observed)
            if trace:
                self._traces[key, target] = trace

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        if report.when == "call" and report.passed and (result := result_in(report)):
            if result.is_flaky:
                return "flaky", "R", "FLAKY"
            if result.verdict is Verdict.DEVIATES:
                return "deviates", "d", "DEVIATES"
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus == pytest.ExitCode.INTERRUPTED:
            dsession = session.config.pluginmanager.get_plugin("dsession")
            if manager := getattr(dsession, "nodemanager", None):
                manager.EXIT_TIMEOUT = _WORKERS_LEAVE
        if not self._has_results:
            return
        if self._incomplete and not self._guard.reported:
            add_incomplete(session.config, self._incomplete)
        unexpected = self._unequal or not (self._differs is None or self._differs.is_as_known)
        if unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @property
    def _has_results(self) -> bool:
        """Whether there is anything to report: scenarios ran, or were to be run by our command."""
        expected = self._wanted.progress and (self._planned or self._guard.interrupted)
        return bool(self._results or expected)

    # -- reporting --------------------------------------------------------------------------------
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        with self._guard.lock:
            if not self._has_results or self._guard.reported:
                return
            self._print(terminalreporter, config)
            for path in self._write():
                terminalreporter.write_line(f"written to {path}")
            self._annotate(terminalreporter, config)
            self._guard.reported = True

    def pytest_unconfigure(self) -> None:
        self._guard.uninstall()

    def _report_in_haste(self) -> None:
        """Report after Ctrl-C, from another thread, while a scenario or a worker does not end."""
        assert self._session is not None
        config = self._session.config
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or not self._has_results:
            return
        if capture := config.pluginmanager.get_plugin("capturemanager"):
            capture.suspend_global_capture(in_=True)
        write_junit(self._session, self._incomplete)
        self.pytest_terminal_summary(reporter, config)
        reporter._tw.flush()

    def _print(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        from rich.console import Console

        from harness.report.terminal import comfortable_width, print_slowest, print_summary

        # In a pipe or a CI log, lines may be as long as claims need.
        width = terminalreporter._tw.fullwidth
        if not terminalreporter.isatty:
            width = max(width, comfortable_width(self._matrix))
        terminalreporter.section("pullproof")
        console = Console(
            file=terminalreporter._tw._file,
            force_terminal=terminalreporter.hasmarkup,
            width=width,
            highlight=False,
        )
        print_summary(
            self._matrix,
            console,
            incomplete=self._incomplete,
            unequal=self._unequal,
            differential=self._differs,
            whole_matrix=config.get_verbosity() > 0,
        )
        if self._wanted.slowest > 0:
            print_slowest(self._results, self._wanted.slowest, console)

    def _write(self) -> list[Path]:
        """Write all files that are wanted and return their paths; ``OSError``."""
        wanted, paths = self._wanted, []
        if wanted.record is not None:
            from harness.report.observed import write_recordings
            from harness.suite.recording import RecordingTarget

            live = [one for one in self._targets() if not isinstance(one, RecordingTarget)]
            paths += write_recordings(self._observed, self._results, live, wanted.record)
        return paths + wanted.write(lambda: self._document)

    def _annotate(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """In GitHub Actions, print annotations and add to the job's summary."""
        if os.environ.get("GITHUB_ACTIONS") == "true":
            from harness.report.github import annotate

            workspace = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
            for line in annotate(self._document, root=config.rootpath, workspace=workspace):
                terminalreporter.write_line(line)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            from harness.report.markdown import render_markdown

            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(render_markdown(self._document))

    @cached_property
    def _matrix(self) -> Matrix:
        return Matrix.of(self._results, [target.name for target in self._targets()])

    @cached_property
    def _document(self) -> dict[str, Any]:
        from harness.report.document import document

        return document(
            self._matrix,
            self._rerun,
            targets=self._targets(),
            abouts=self._abouts.values(),
            traces=self._traces,
            differential=self._differs,
            unequal=self._unequal,
            seconds=time.monotonic() - self._began,
            incomplete=self._incomplete,
        )

    @cached_property
    def _differs(self) -> Differential | None:
        if self._wanted.baseline is None:
            return None
        from harness.report.observed import Differential

        targets = self._targets()
        return Differential(self._observed, targets, targets[-1])

    @cached_property
    def _unequal(self) -> list[str]:
        """Cells in which two targets of one release do not match, without an entry that explains
        it. Targets whose storage cannot be read are not compared."""
        return [
            line
            for left, right in itertools.combinations(self._targets(), 2)
            if (left.implementation, left.version) == (right.implementation, right.version)
            and Need.STORAGE in left.capabilities & right.capabilities
            for line in self._matrix.unequal(left.name, right.name)
        ]
