"""A progress line in place of pytest's dots, on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from harness.report.transport import result_in
from harness.suite.deviations import Verdict

__all__ = ["Live"]

_STYLES = {
    Verdict.HOLDS: "green",
    Verdict.DEVIATES: "yellow",
    Verdict.FAILS: "bold red",
    Verdict.NOT_APPLICABLE: "dim",
}


class Live:
    """A pytest plugin for the process that reports, with or without pytest-xdist.

    It draws only while pytest itself would write, between the phases of tests: while a test runs,
    the terminal belongs to pytest's capturing.
    """

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        reporter.showfspath = False
        console = Console(
            file=reporter._tw._file,
            force_terminal=True,
            no_color=not reporter.hasmarkup,
            width=reporter._tw.fullwidth,
            highlight=False,
        )
        self._bar = Progress(
            BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan"),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=None)
        self._counts: Counter[Verdict] = Counter()
        self._running = False

    # -- how much there is ------------------------------------------------------------------------
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:  # of the process that only controls others, there are none
            self._bar.update(self._task, total=len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: list[str]) -> None:
        del node  # All collect the same.
        self._bar.update(self._task, total=len(ids))

    # -- how far it is ----------------------------------------------------------------------------
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_teststatus(
        self,
    ) -> Generator[None, tuple[str, str, object], tuple[str, str, object]]:
        category, letter, word = yield
        return (category, "", "") if self._running else (category, letter, word)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self._running:  # until now, pytest and pytest-xdist print how they start
            self._running = True
            self._bar.start()
        if result := result_in(report):
            self._counts[result.verdict] += 1
            if result.verdict is Verdict.FAILS:
                name = f"FAILS {result.key} ({result.target})"
                self._bar.console.print(name, style="red", markup=False)
        self._bar.update(self._task, description=self._words())
        if report.when == "teardown":
            self._bar.advance(self._task)
        self._bar.refresh()

    def _words(self) -> str:
        words = [
            f"[{style}]{self._counts[verdict]} {verdict.value}[/]"
            for verdict, style in _STYLES.items()
            if self._counts[verdict]
        ]
        return "  ".join(words)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        if self._running:
            self._running = False
            self._bar.stop()
