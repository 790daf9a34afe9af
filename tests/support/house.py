"""Prints the shape of the code base and checks its limits: ``make house``.

Lines of Python, modules, import circles, class names used twice, scenarios and rules, and how many
modules one pull request walks through. Exit code 1 if a limit is exceeded.
"""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
from rich.console import Console
from rich.table import Table

from harness.nodes.lint.rules import loaded_rules
from harness.suite.catalogue import declared
from tests.support.rooms import manifest_by_tag

TREE = Path(__file__).parents[2]
PRODUCT = ("harness", "reference_registry", "pullproof", "bench")
PACKAGES = (*PRODUCT, "scenarios")


@dataclass(frozen=True)
class Fact:
    """One measured value. ``limit`` is the highest value allowed, None if there is none."""

    name: str
    value: int
    limit: int | None = None
    detail: str = ""

    @property
    def exceeded(self) -> bool:
        return self.limit is not None and self.value > self.limit


def facts() -> Iterator[Fact]:
    """Every fact about the tree, measured now."""
    product = [path for name in PRODUCT for path in _sources(name)]
    tests = _sources("tests")
    yield Fact("lines of product code", _lines(product), 50_000)
    yield Fact("lines of tests", _lines(tests), 32_000)
    yield Fact("lines of scenarios", _lines(_sources("scenarios")))
    yield Fact("product modules", len(product))
    longest = max(product, key=lambda path: len(path.read_bytes().splitlines()))
    yield Fact("lines of the longest module", _lines([longest]), None, _name(longest))
    circles = _circles()
    yield Fact("import circles", len(circles), 0, "; ".join(circles))
    yield from _class_names(product)
    yield Fact("modules with a TYPE_CHECKING block", _count(product, "if TYPE_CHECKING:"))
    with tempfile.TemporaryDirectory() as root:
        traces = asyncio.run(manifest_by_tag(Path(root)))
    for kind, limit in (("miss", 30), ("hit", 20)):
        trace = traces[kind]
        detail = f"{trace.changes} changes of module"
        yield Fact(f"modules in a manifest GET by tag, {kind}", len(trace.files), limit, detail)
    yield Fact("scenarios", len(declared()))
    yield Fact("rules of lint", len(loaded_rules()))


def main() -> int:
    """Print all facts; 1 if a limit is exceeded."""
    table = Table("fact", "value", "limit", "", box=None)
    exceeded = False
    for fact in facts():
        exceeded |= fact.exceeded
        mark = "" if fact.limit is None else "EXCEEDED" if fact.exceeded else "ok"
        limit = "" if fact.limit is None else f"{fact.limit:,}"
        table.add_row(fact.name, f"{fact.value:,}", limit, f"{mark} {fact.detail}".strip())
    Console(width=140).print(table)
    return int(exceeded)


def _sources(directory: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", f"{directory}/*.py"],
        cwd=TREE,
        capture_output=True,
        text=True,
        check=True,
    )
    found = (TREE / name for name in listed.stdout.split("\0") if name)
    return [path for path in found if path.exists()]


def _lines(paths: list[Path]) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in paths)


def _count(paths: list[Path], text: str) -> int:
    return sum(text in path.read_text(encoding="utf-8") for path in paths)


def _name(path: Path) -> str:
    return str(path.relative_to(TREE))


def _circles() -> list[str]:
    """One import to cut for each circle of modules; imports for type checking count too."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    cut = []
    while True:
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            imported, importer = error.args[1][:2]
            imports[importer].discard(imported)
            cut.append(f"{importer} imports {imported}")
        else:
            return cut


def _class_names(paths: list[Path]) -> Iterator[Fact]:
    """Names of several public classes, which is fine where each is used in its own package only."""
    defined: dict[str, list[Path]] = defaultdict(list)
    importers: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef) and node.col_offset == 0:
                defined[node.name].append(path)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                for name in node.names:
                    importers[node.module, name.name].append(path)

    def is_private(name: str, path: Path) -> bool:
        module = ".".join(path.relative_to(TREE).with_suffix("").parts)
        package = module.rpartition(".")[0]
        users = [*importers[module, name], *importers[package, name]]
        return all(user.is_relative_to(path.parent) for user in users)

    repeated = {name: found for name, found in defined.items() if len(found) > 1}
    shared = [
        name
        for name, found in sorted(repeated.items())
        if not name.startswith("_") and not all(is_private(name, path) for path in found)
    ]
    yield Fact("class names used more than once", len(repeated))
    yield Fact("of these not private to packages", len(shared), 0, " ".join(shared))


if __name__ == "__main__":
    sys.exit(main())
