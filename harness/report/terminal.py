"""What a run prints at its end: totals, failures, known deviations, and on request the matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report.differences import summary
from harness.report.observed import Differential
from harness.suite.deviations import Verdict
from harness.suite.results import MODEL, Incomplete, Matrix, Result

__all__ = ["comfortable_width", "print_slowest", "print_summary"]

_CELL = {
    Verdict.HOLDS: Text("holds", style="green"),
    Verdict.DEVIATES: Text("deviates", style="yellow"),
    Verdict.FAILS: Text("FAILS", style="bold red"),
    Verdict.NOT_APPLICABLE: Text("n/a", style="dim"),
}
_FLAKY = Text("FLAKY", style="bold yellow")


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
                console.print(
                    Text(f"FAILS {result.key} ({target}): {why}", style="red"), soft_wrap=True
                )
            elif result.is_flaky:
                line = f"FLAKY {result.key} ({target}): {result.verdict.value} when run again; "
                console.print(
                    Text(line + "; ".join(result.earlier), style="bold yellow"), soft_wrap=True
                )
    for line in unequal:
        console.print(Text(f"MISMATCH {line}", style="red"), soft_wrap=True)
    if differential is not None:
        _print_differential(differential, console)
    if incomplete:
        line = f"{incomplete}: the run ended early; tests that did not run have no verdict"
        console.print(Text(line, style="bold red"), soft_wrap=True)
    for target in matrix.targets:
        counts = {verdict: matrix.count(target, verdict) for verdict in Verdict}
        words = [f"{count} {verdict.value}" for verdict, count in counts.items() if count]
        if flaky := sum(target in row and row[target].is_flaky for _, row in matrix.rows):
            words.append(f"{flaky} of them FLAKY")
        kind = " (client model, no registry involved)" if target == MODEL else ""
        console.print(Text(f"{target}{kind}: {', '.join(words) or 'nothing ran'}"), soft_wrap=True)


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
    console.print(Text(f"compared with {differential.baseline.name}", style="bold"), soft_wrap=True)
    for one in differential.comparisons:
        if one.unexplained:
            first, *more = one.unexplained
            console.print(Text(first.describe(one.left, one.right), style="red"), soft_wrap=True)
            for divergence in more:
                console.print(Text(f"    and then {divergence.place}", style="dim"), soft_wrap=True)
    for line in differential.stale:
        console.print(Text(line, style="red"), soft_wrap=True)
    console.print(Text(summary(differential.comparisons, differential.stale)), soft_wrap=True)


def print_slowest(results: Iterable[Result], number: int, console: Console) -> None:
    """Write the *number* scenarios that took longest, with their seconds, to *console*."""
    slowest = sorted(results, key=lambda result: result.seconds, reverse=True)[:number]
    console.print()
    console.print(Text(f"the {len(slowest)} slowest scenarios", style="bold"), soft_wrap=True)
    for result in slowest:
        console.print(
            Text(f"  {result.seconds:6.2f} s  {result.key} ({result.target})"), soft_wrap=True
        )


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
    console.print(Text("known deviations", style="bold"), soft_wrap=True)
    for (key, does, reference), targets in seen.items():
        console.print(Text(f"  {key} ({', '.join(targets)}): {does} [{reference}]"), soft_wrap=True)
