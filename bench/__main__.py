"""Measure registries as pull-through caches, all in front of the same upstream, and compare."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.client import CannotMeasure, requests_per_second
from bench.measures import MEASURES, Bench, Measure, Row, Workspace
from bench.registries import REAL, MeasuredRegistry, find_registries
from bench.upstream import REPOSITORY, TAG, BenchUpstream
from harness.targets.errors import TargetError

_MIB = 1 << 20
_WIDTH = 150
"""Columns of the table in a file."""

Cells = dict[str, dict[str, Any]]
"""By registry: ``value``, the median, with ``ratio`` to docker-registry's; or ``reason``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exits with 2 for arguments that name something missing."""
    parser = _parser()
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="pullproof-bench-", dir=options.directory) as made:
        directory = Path(made)
        try:
            found = find_registries(options.binary, directory / "bytecode")
            registries = _chosen(found, options.registry)
        except TargetError as problem:
            parser.error(str(problem))
        _run(options, registries, directory)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    names = [measure.name for measure in MEASURES]
    add("--binary", action="append", default=[], metavar="PATH", help="a further registry binary")
    add("--registry", action="append", metavar="NAME", help="only this registry (repeatable)")
    add("--only", action="append", choices=names, help="only this measure (repeatable)")
    add("--quick", action="store_true", help="small and short: shows that it works, not how fast")
    add("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    add("--gc-manifests", type=int, default=500, metavar="N", help="tree of gc (%(default)s)")
    add("--directory", type=Path, metavar="DIR", help="where caches are (default: a temporary one)")
    return parser


def _chosen(found: list[MeasuredRegistry], names: list[str] | None) -> list[MeasuredRegistry]:
    known = [registry.name for registry in found]
    if absent := [name for name in names or () if name not in known]:
        raise TargetError(f"no registry {absent[0]!r} here; there are {', '.join(known)}")
    return [registry for registry in found if not names or registry.name in names]


def _run(options: argparse.Namespace, registries: list[MeasuredRegistry], directory: Path) -> None:
    quick = options.quick
    measures = [m for m in MEASURES if not options.only or m.name in options.only]
    load = os.getloadavg()[0]
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    size = (4 if quick else 64) * _MIB
    large = 2 * size if quick else 2048 * _MIB
    bench = Bench(
        BenchUpstream.start(1 + 2 * max(m.repetitions for m in MEASURES), size, large),
        directory,
        seconds=1 if quick else 3,
        blob_size=size,
        large_size=large,
        gc_manifests=min(options.gc_manifests, 20) if quick else options.gc_manifests,
        tags=2_000 if quick else 100_000,
    )
    places = [Workspace(bench, registry) for registry in registries]
    lines: list[tuple[Measure, Row, Cells]] = []
    bound = None
    try:
        with console.status("") as status:
            for measure in measures:
                status.update(measure.name)
                rows = take(measure, places, 1 if quick else measure.repetitions)
                lines += [(measure, row, cells) for row, cells in rows]
                if measure.name == "by-tag":
                    # A registry that revalidates each tag cannot be faster than upstream.
                    with suppress(CannotMeasure):
                        url = f"{bench.upstream.url}/v2/{REPOSITORY}/manifests/{TAG}"
                        bound = requests_per_second(url, bench.seconds)
    finally:
        for place in places:
            place.stop()
        bench.upstream.process.stop()
    caption = (
        "medians; in brackets: times docker-registry\n"
        f"blobs of {size // _MIB} MiB, gc over {bench.gc_manifests:,} manifests,"
        f" {bench.tags:,} tags\n{os.cpu_count()} cores, load {load:.2f} before it began"
    )
    if bound is not None:
        caption += f"\nthe upstream itself answers {bound:,.0f} requests/s for the tag"
    table = Table("", caption=caption, caption_justify="left")
    table.columns[0].no_wrap = True
    for registry in registries:
        table.add_column(registry.name, justify="right")
    for _, row, cells in lines:
        title = f"{row.title}, {row.unit}" if row.unit else row.title
        table.add_row(escape(title), *(_text(row, name, cell) for name, cell in cells.items()))
    console.print(table)
    if options.json is not None:
        document = {
            "quick": quick,
            "blob_size": size,
            "gc_manifests": bench.gc_manifests,
            "tags": bench.tags,
            "load_before": load,
            "upstream_requests_per_second": bound,
            "lines": [
                {"measure": measure.name, **asdict(row), "registries": cells}
                for measure, row, cells in lines
            ],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def take(
    measure: Measure, places: Sequence[Workspace], repetitions: int
) -> list[tuple[Row, Cells]]:
    """Take *measure* of all *places* in turn, *repetitions* times after the warm-ups, so that a
    noisy moment affects all of them. A registry that fails is not measured again."""
    taken: dict[str, list[tuple[float, ...]]] = {place.registry.name: [] for place in places}
    failed: dict[str, str] = {}
    for number in range(measure.warm_ups + repetitions):
        for place in places:
            name = place.registry.name
            if name in failed:
                continue
            try:
                figures = measure.take(place)
            except CannotMeasure as problem:
                failed[name] = str(problem)
            except (OSError, subprocess.TimeoutExpired) as problem:
                failed[name] = getattr(problem, "strerror", None) or type(problem).__name__
            else:
                if number >= measure.warm_ups:
                    taken[name].append(figures)
    lines = []
    for column, row in enumerate(measure.rows):
        cells: Cells = {
            name: {"reason": failed[name]}
            if name in failed
            else {"value": median(figures[column] for figures in several)}
            for name, several in taken.items()
        }
        if base := cells.get(REAL, {}).get("value"):
            for cell in cells.values():
                if "value" in cell:
                    cell["ratio"] = cell["value"] / base
        lines.append((row, cells))
    return lines


def _text(row: Row, name: str, cell: dict[str, Any]) -> str:
    """The cell in the table: green if it is better than docker-registry's."""
    if "value" not in cell:
        return f"[dim]{escape(cell['reason'])}[/dim]"
    value, ratio = f"{cell['value']:,.{row.digits}f}", cell.get("ratio")
    if ratio is None or name == REAL:
        return value
    better = ratio > 1 if row.better == "more" else ratio < 1
    style = "green" if better else "red" if ratio != 1 else "dim"
    return f"{value} [{style}]({ratio:.{0 if ratio >= 10 else 2}f}×)[/{style}]"


if __name__ == "__main__":
    sys.exit(main())
