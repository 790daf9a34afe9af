"""Measures registries as pull-through caches, all in front of the same upstream, and compares."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from bench.client import requests_per_second
from bench.measures import MEASURES, Measure
from bench.place import Bench, Place
from bench.problem import CannotMeasure
from bench.results import Line, take
from bench.runners import Registry, find_registries
from bench.table import table
from bench.upstream import REPOSITORY, TAG, Upstream
from harness.targets.errors import TargetError

__all__ = ["main"]

_MIB = 1 << 20
_WIDTH = 150
"""Columns of the table in a file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 where the arguments name what is not there."""
    parser = _parser()
    options = parser.parse_args(arguments)
    measures = [m for m in MEASURES if not options.only or m.name in options.only]
    with TemporaryDirectory(prefix="pullproof-bench-", dir=options.directory) as made:
        directory = Path(made)
        try:
            found = find_registries(options.binary, directory / "bytecode")
            registries = _chosen(found, options.registry)
        except TargetError as problem:
            parser.error(str(problem))
        return _run(options, registries, measures, directory)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--binary", action="append", default=[], metavar="PATH", help="a further registry binary")
    add("--registry", action="append", metavar="NAME", help="only this registry (repeatable)")
    names = [measure.name for measure in MEASURES]
    add("--only", action="append", choices=names, help="only this measure (repeatable)")
    add("--quick", action="store_true", help="small and short: tells that it works, not how fast")
    add("--json", type=Path, metavar="FILE", help="write the figures there, too")
    add(
        "--gc-manifests",
        type=int,
        default=500,
        metavar="N",
        help="of the tree for gc (%(default)s)",
    )
    add("--directory", type=Path, metavar="DIR", help="where caches lie (default: a temporary one)")
    return parser


def _chosen(found: list[Registry], names: list[str] | None) -> list[Registry]:
    if not names:
        return found
    known = [registry.name for registry in found]
    if absent := [name for name in names if name not in known]:
        raise TargetError(f"no registry {absent[0]!r} here; there are {', '.join(known)}")
    return [registry for registry in found if registry.name in names]


def _run(
    options: argparse.Namespace,
    registries: list[Registry],
    measures: list[Measure],
    directory: Path,
) -> int:
    quick = options.quick
    size = 4 * _MIB if quick else 64 * _MIB
    repetitions = {m.name: 1 if quick else m.repetitions for m in measures}
    load = os.getloadavg()[0]
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    large = 2 * size if quick else 2048 * _MIB
    blobs = 1 + 2 * max(m.repetitions for m in MEASURES)
    upstream = Upstream.start(blobs, size, large if "large-blob" in repetitions else 0)
    bench = Bench(
        upstream,
        directory,
        seconds=1 if quick else 3,
        blob_size=size,
        large_size=large,
        gc_manifests=min(options.gc_manifests, 20) if quick else options.gc_manifests,
        tags=2_000 if quick else 100_000,
    )
    places = [Place(bench, registry) for registry in registries]
    lines: list[Line] = []
    try:
        with console.status("") as status:
            for measure in measures:
                status.update(measure.name)
                lines += take(measure, bench, places, repetitions[measure.name])
            bound = _bound(bench) if "by-tag" in repetitions else None
    finally:
        for place in places:
            place.stop()
        upstream.process.stop()
    caption = _caption(bench, load, bound)
    console.print(table(lines, [registry.name for registry in registries], caption))
    if options.json is not None:
        document = {
            "quick": quick,
            "blob_size": size,
            "gc_manifests": bench.gc_manifests,
            "tags": bench.tags,
            "load_before": load,
            "upstream_requests_per_second": bound,
            "lines": [line.document() for line in lines],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _bound(bench: Bench) -> float | None:
    """What the upstream itself can do, which is all that asking it about each tag can reach."""
    url = f"{bench.upstream.url}/v2/{REPOSITORY}/manifests/{TAG}"
    try:
        return requests_per_second(url, bench.seconds)
    except CannotMeasure:
        return None


def _caption(bench: Bench, load: float, bound: float | None) -> str:
    parts = [
        "medians; in brackets: times docker-registry",
        f"blobs of {bench.blob_size // _MIB} MiB, gc over {bench.gc_manifests:,} manifests,"
        f" {bench.tags:,} tags",
        f"{os.cpu_count()} cores, load {load:.2f} before it began",
    ]
    if bound is not None:
        parts.append(f"the upstream itself answers {bound:,.0f} requests/s for the tag")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
