"""Figures by row and registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.measures import Measure, Row
from bench.place import Bench, Place
from bench.problem import CannotMeasure
from bench.runners import REAL

__all__ = ["Cell", "Line", "take"]


@dataclass(frozen=True)
class Cell:
    """The median of what was measured, or why there is nothing."""

    value: float | None
    reason: str | None = None
    ratio: float | None = None
    """To docker-registry's value in the same run."""

    def document(self) -> dict[str, Any]:
        fields = {"value": self.value, "reason": self.reason, "ratio": self.ratio}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Line:
    """A row with its cells, by registry."""

    measure: str
    row: Row
    cells: dict[str, Cell]

    def document(self) -> dict[str, Any]:
        return {
            "measure": self.measure,
            "title": self.row.title,
            "unit": self.row.unit,
            "better": self.row.better,
            "registries": {name: cell.document() for name, cell in self.cells.items()},
        }


def take(measure: Measure, bench: Bench, places: Sequence[Place], repetitions: int) -> list[Line]:
    """*measure* of all *places* in turn, *repetitions* times over and the warm-ups before, so that
    a noisy moment meets all of them. A registry that fails is not asked again."""
    taken: dict[str, list[tuple[float, ...]]] = {place.registry.name: [] for place in places}
    failed: dict[str, str] = {}
    for number in range(measure.warm_ups + repetitions):
        for place in places:
            name = place.registry.name
            if name in failed:
                continue
            try:
                figures = measure.take(bench, place)
            except CannotMeasure as problem:
                failed[name] = str(problem)
            except OSError as problem:
                failed[name] = problem.strerror or type(problem).__name__
            else:
                if number >= measure.warm_ups:
                    taken[name].append(figures)
    lines = []
    for column, row in enumerate(measure.rows):
        values = {
            name: median(one[column] for one in several)
            for name, several in taken.items()
            if name not in failed
        }
        base = values.get(REAL)
        cells = {name: _cell(values.get(name), failed.get(name), base) for name in taken}
        lines.append(Line(measure.name, row, cells))
    return lines


def _cell(value: float | None, reason: str | None, base: float | None) -> Cell:
    ratio = value / base if value is not None and base else None
    return Cell(value, reason, ratio)
