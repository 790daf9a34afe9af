"""The table that people read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from bench.measures import Row
from bench.results import Cell, Line
from bench.runners import REAL

__all__ = ["table"]


def table(lines: Sequence[Line], names: Sequence[str], caption: str) -> Table:
    """Rows of measures, columns of registries; in brackets the ratio to docker-registry, green
    where it is better than that."""
    drawn = Table(caption=caption, caption_justify="left")
    drawn.add_column("", no_wrap=True)
    for name in names:
        drawn.add_column(name, justify="right")
    for line in lines:
        unit = f", {line.row.unit}" if line.row.unit else ""
        cells = [_text(line.row, name, line.cells[name]) for name in names]
        drawn.add_row(escape(line.row.title + unit), *cells)
    return drawn


def _text(row: Row, name: str, cell: Cell) -> str:
    if cell.value is None:
        return f"[dim]{escape(cell.reason or '')}[/dim]"
    value = f"{cell.value:,.{row.digits}f}"
    if cell.ratio is None or name == REAL:
        return value
    better = cell.ratio > 1 if row.better == "more" else cell.ratio < 1
    style = "green" if better else "red" if cell.ratio != 1 else "dim"
    return f"{value} [{style}]({_ratio(cell.ratio)}×)[/{style}]"


def _ratio(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2f}"
