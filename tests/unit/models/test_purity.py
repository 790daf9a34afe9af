"""The models do no I/O, keep no clock, draw no lots, and know no measured case by its name."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
PURE = {
    *("__future__", "base64", "binascii", "collections", "dataclasses", "enum", "functools"),
    *("hashlib", "http", "ipaddress", "itertools", "json", "operator", "posixpath", "re"),
    *("string", "tomllib", "typing", "urllib"),
}
"""What may be imported; ``http`` and ``urllib`` only as in :data:`PARTS`."""
IN_MEMORY = {"gzip", "struct", "tarfile", "zlib"}
"""Beside it, where content is made: packing bytes."""
PARTS = {"http": {"HTTPStatus"}, "urllib": {"parse"}}
IMPURE_BUILTINS = {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint"}
DATA = (
    *("containerd/cases.json", "containerd/proven-cases.json"),
    "containers/registries-conf-cases.json",
)


def module_file(name: str) -> Path | None:
    """The file of one of our modules."""
    path = PROJECT / name.replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Module and name of everything that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def reached() -> dict[Path, ast.Module]:
    """The files of the models and of all that they import of this project."""
    pending = sorted((PROJECT / "harness/nodes/models").rglob("*.py"))
    found: dict[Path, ast.Module] = {}
    while pending:
        path = pending.pop()
        if path in found:
            continue
        found[path] = tree = ast.parse(path.read_text())
        for module, name in imports(tree):
            if module.partition(".")[0] in {"harness", "reference_registry"}:
                own = module_file(f"{module}.{name}") or module_file(module)
                assert own is not None, module
                # What a package loads late lies in it, and is looked at all the same.
                if own.stem != "lazy":
                    pending.append(own)
    return found


FILES = reached()


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: str(path.relative_to(PROJECT)))
def test_nothing_is_imported_or_called_that_could_do_io(path: Path) -> None:
    tree = FILES[path]
    for module, name in imports(tree):
        top, _, rest = module.partition(".")
        if top in {"harness", "reference_registry"}:
            continue
        allowed = PURE | (IN_MEMORY if path.parent.name == "content" else set())
        assert top in allowed, f"{path}: import of {module}"
        assert top not in PARTS or (rest or name).partition(".")[0] in PARTS[top], module
    called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not called & IMPURE_BUILTINS


def test_the_models_are_many_files() -> None:
    """So that the test above looks at something."""
    assert len([path for path in FILES if "models" in path.parts]) > 40


def test_no_case_is_known_by_its_id() -> None:
    ids = {
        case["id"]
        for file in DATA
        for case in json.loads((PROJECT / "fixtures" / file).read_text())["cases"]
    }
    assert len(ids) > 300
    for path in FILES:
        assert not ids & set(re.findall(r"[\w.-]+", path.read_text())), path
