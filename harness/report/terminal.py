"""The matrix as it appears at the end of a run."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report.differences import summary
from harness.report.observed import Differential
from harness.suite.deviations import Verdict
from harness.suite.results import MODEL, Matrix, Result

__all__ = ["comfortable_width", "print_differential", "print_matrix", "print_slowest"]

_CELL = {
    Verdict.HOLDS: Text("holds", style="green"),
    Verdict.DEVIATES: Text("deviates", style="yellow"),
    Verdict.FAILS: Text("FAILS", style="bold red"),
    Verdict.NOT_APPLICABLE: Text("n/a", style="dim"),
}


def print_matrix(matrix: Matrix, console: Console) -> None:
    """Write *matrix*, what each known deviation is, and the totals, to *console*."""
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
    _print_deviations(matrix, console)
    console.print()
    for target in matrix.targets:
        counts = {verdict: matrix.count(target, verdict) for verdict in Verdict}
        words = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
        kind = " (client model, no registry involved)" if target == MODEL else ""
        console.print(Text(f"{target}{kind}: {words}"))


def print_differential(differential: Differential, console: Console) -> None:
    """Write what differs from the baseline without an explanation, scenario by scenario, the first
    divergence of each in full, and the totals, to *console*."""
    console.print()
    console.print(Text(f"compared with {differential.baseline.name}", style="bold"))
    for one in differential.comparisons:
        if one.unexplained:
            first, *more = one.unexplained
            console.print(Text(first.describe(one.left, one.right), style="red"))
            for divergence in more:
                console.print(Text(f"    and then {divergence.place}", style="dim"))
    for line in differential.stale:
        console.print(Text(line, style="red"))
    console.print(Text(summary(differential.comparisons, differential.stale)))


def print_slowest(results: Iterable[Result], number: int, console: Console) -> None:
    """Write the *number* scenarios that took longest, with their seconds, to *console*."""
    slowest = sorted(results, key=lambda result: result.seconds, reverse=True)[:number]
    console.print()
    console.print(Text(f"slowest {len(slowest)} of the scenarios", style="bold"))
    for result in slowest:
        console.print(Text(f"  {result.seconds:6.2f} s  {result.key} ({result.target})"))


def comfortable_width(matrix: Matrix) -> int:
    """The number of columns that gives claims 72 of them beside all targets."""
    return 72 + sum(2 + max(len(target), len("deviates")) for target in matrix.targets)


def _cell(result: Result | None) -> Text:
    return _CELL[result.verdict] if result else Text("")


def _print_deviations(matrix: Matrix, console: Console) -> None:
    """Each known deviation once, with the targets that show it."""
    seen: dict[tuple[str, str, str], list[str]] = {}
    for key, cells in matrix.rows:
        for target, result in cells.items():
            if result.verdict is Verdict.DEVIATES:
                place = (key, result.does, result.reference)
                seen.setdefault(place, []).append(target)
    if not seen:
        return
    console.print()
    console.print(Text("known deviations", style="bold"))
    for (key, does, reference), targets in seen.items():
        console.print(Text(f"  {key} ({', '.join(targets)}): {does} [{reference}]"))
