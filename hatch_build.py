"""Puts the packages of this repository into ``pullproof`` where a wheel is built.

In a clone they are at the top level. Installed like that, they would conflict with packages called
harness and scenarios in other projects. A wheel therefore holds ``pullproof.harness``
and so on: ``sources`` in pyproject.toml moves the files, and this hook renames their imports.
"""

from __future__ import annotations

import ast
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARENT = "pullproof"
MOVED = frozenset({"harness", "reference_registry", "scenarios"})


class MovedPackages(BuildHookInterface[Any]):
    """Takes the place of each source file that imports a moved package, line for line."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # the clone itself
            return
        self._directory = TemporaryDirectory()
        for number, file in enumerate(self.build_config.builder.recurse_selected_project_files()):
            if file.path.endswith(".py"):
                renamed = Path(self._directory.name, f"{number}.py")
                source = Path(file.path).read_text(encoding="utf-8")
                renamed.write_text(moved(source, file.relative_path), encoding="utf-8")
                build_data["force_include"][str(renamed)] = file.distribution_path

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._directory.cleanup()


def moved(source: str, path: str) -> str:
    """*source* with its imports of moved packages renamed. ``ValueError`` for an import that would
    give another name; *path* is for its text."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(_is_moved(alias.name) for alias in node.names):
            raise ValueError(
                f"{path}:{node.lineno}: write 'from ... import ...', which can be moved"
            )
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_moved(node.module or ""):
            line, start = lines[node.lineno - 1], node.col_offset
            old = f"from {node.module} "
            if not line[start:].startswith(old):
                raise ValueError(f"{path}:{node.lineno}: does not read {old!r}")
            lines[node.lineno - 1] = f"{line[:start]}from {PARENT}.{line[start + len('from ') :]}"
    return "".join(lines)


def _is_moved(module: str) -> bool:
    return module.partition(".")[0] in MOVED
