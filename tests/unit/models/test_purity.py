"""The client models do no I/O and use no clock: they import only what computes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[3] / "harness/nodes/models"
PURE = {
    *("__future__", "base64", "binascii", "collections", "dataclasses", "enum", "functools"),
    *("http", "ipaddress", "itertools", "json", "posixpath", "re", "string", "tomllib", "typing"),
    *("urllib", "harness.content", "harness.nodes.models", "reference_registry.digest"),
}
"""What models may import; of http and urllib only ``HTTPStatus`` and ``parse``."""
IMPURE = {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint"}


@pytest.mark.parametrize("path", sorted(MODELS.rglob("*.py")), ids=lambda path: path.stem)
def test_a_model_imports_and_calls_nothing_that_does_io(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
            if node.module in {"http", "urllib"}:
                assert {alias.name for alias in node.names} <= {"HTTPStatus", "parse"}
        for module in modules:
            top = module.partition(".")[0]
            own = top in {"harness", "reference_registry"}
            assert (top in PURE) if not own else module.startswith(tuple(PURE)), module
        assert not (isinstance(node, ast.Name) and node.id in IMPURE)
