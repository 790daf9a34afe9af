"""What a run prints: a progress line, and at its end totals, failures, known deviations, and on
request the matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence

import pytest
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from harness.report.differences import FORMATS
from harness.report.observed import Differential
from harness.report.transport import result_in
from harness.suite.deviations import Verdict
from harness.suite.results import MODEL, Incomplete, Matrix, Result

_CELL = {
    Verdict.HOLDS: Text("holds", style="green"),
    Verdict.DEVIATES: Text("deviates", style="yellow"),
    Verdict.FAILS: Text("FAILS", style="bold red"),
    Verdict.NOT_APPLICABLE: Text("n/a", style="dim"),
}
_FLAKY = Text("FLAKY", style="bold yellow")


def _say(console: Console, text: str, style: str = "") -> None:
    """Print *text* on as many lines as it needs, without markup."""
    console.print(Text(text, style=style), soft_wrap=True)


def print_summary(
    matrix: Matrix,
    console: Console,
    *,
    incomplete: Incomplete | None,
    unequal: Sequence[str],
    differential: Differential | None,
    whole_matrix: bool,
) -> None:
    """Write the outcome of a run to *console*; every claim in a row only if *whole_matrix*."""
    if whole_matrix:
        _print_matrix(matrix, console)
    _print_deviations(matrix, console)
    console.print()
    for _, cells in matrix.rows:
        for target, result in cells.items():
            if result.verdict is Verdict.FAILS:
                why = next(iter(result.problems), "")
                _say(console, f"FAILS {result.key} ({target}): {why}", style="red")
            elif result.is_flaky:
                line = f"FLAKY {result.key} ({target}): {result.verdict.value} when run again; "
                _say(console, line + "; ".join(result.earlier), style="bold yellow")
    for line in unequal:
        _say(console, f"MISMATCH {line}", style="red")
    if differential is not None:
        _print_differential(differential, console)
    if incomplete:
        line = f"{incomplete}: the run ended early; tests that did not run have no verdict"
        _say(console, line, style="bold red")
    for target in matrix.targets:
        counts = {verdict: matrix.count(target, verdict) for verdict in Verdict}
        words = [f"{count} {verdict.value}" for verdict, count in counts.items() if count]
        if flaky := sum(target in row and row[target].is_flaky for _, row in matrix.rows):
            words.append(f"{flaky} of them FLAKY")
        kind = " (client model, no registry involved)" if target == MODEL else ""
        _say(console, f"{target}{kind}: {', '.join(words) or 'nothing ran'}")


def _print_matrix(matrix: Matrix, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    table.add_column("claim", ratio=1, overflow="fold")
    for target in matrix.targets:
        table.add_column(target, no_wrap=True)
    theme = ""
    for key, cells in matrix.rows:
        first = next(iter(cells.values()))
        if first.theme != theme:
            theme = first.theme
            table.add_row(Text(theme, style="bold cyan"), *("" for _ in matrix.targets))
        case = key.partition("[")[2].rstrip("]")
        claim = Text(first.claim + (f" ({case})" if case else ""))
        # Padding, so that a claim of several lines stays below its theme.
        table.add_row(
            Padding(claim, (0, 0, 0, 2)), *(_cell(cells.get(target)) for target in matrix.targets)
        )
    console.print(table)


def _print_differential(differential: Differential, console: Console) -> None:
    """What differs from the baseline without an explanation, the first difference of each scenario
    in full."""
    _say(console, f"compared with {differential.baseline.name}", style="bold")
    *lines, total = FORMATS["text"](differential.comparisons, differential.stale).splitlines()
    for line in lines:
        style = "dim" if line.startswith("    and then ") else "red"
        _say(console, line, style=style)
    _say(console, total)


def print_slowest(results: Iterable[Result], number: int, console: Console) -> None:
    """Write the *number* scenarios that took longest, with their seconds, to *console*."""
    slowest = sorted(results, key=lambda result: result.seconds, reverse=True)[:number]
    console.print()
    _say(console, f"the {len(slowest)} slowest scenarios", style="bold")
    for result in slowest:
        _say(console, f"  {result.seconds:6.2f} s  {result.key} ({result.target})")


def comfortable_width(matrix: Matrix) -> int:
    """The number of columns that leaves 72 for claims beside all targets."""
    return 72 + sum(2 + max(len(target), len("deviates")) for target in matrix.targets)


def _cell(result: Result | None) -> Text:
    if result is None:
        return Text("")
    return _FLAKY if result.is_flaky else _CELL[result.verdict]


def _print_deviations(matrix: Matrix, console: Console) -> None:
    """Each known deviation once, with the targets that have it."""
    seen: dict[tuple[str, str, str], list[str]] = {}
    for key, cells in matrix.rows:
        for target, result in cells.items():
            if result.verdict is Verdict.DEVIATES:
                deviation = (key, result.does, result.reference)
                seen.setdefault(deviation, []).append(target)
    if not seen:
        return
    console.print()
    _say(console, "known deviations", style="bold")
    for (key, does, reference), targets in seen.items():
        _say(console, f"  {key} ({', '.join(targets)}): {does} [{reference}]")


class Live:
    """A progress line in place of pytest's dots: a pytest plugin for the process that reports, with
    or without pytest-xdist.

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
            f"[{text.style}]{self._counts[verdict]} {verdict.value}[/]"
            for verdict, text in _CELL.items()
            if self._counts[verdict]
        ]
        return "  ".join(words)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        if self._running:
            self._running = False
            self._bar.stop()
