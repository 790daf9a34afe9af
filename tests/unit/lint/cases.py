"""The examples of lint's rules, fixtures/lint/ID/: fixtures/lint/README.md says what they hold."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.nodes.lint.engine import Question
from harness.nodes.lint.project import Project
from harness.nodes.lint.reading import read_all

__all__ = ["FIXTURES", "Case", "case_of", "copied", "project_of"]

FIXTURES = Path(__file__).parents[3] / "fixtures" / "lint"


@dataclass(frozen=True)
class Case:
    """What case.toml says of an example. Its keys are the fields, and no others."""

    at: tuple[str, ...]
    """Where the rule hits in ``bad``: ``FILE:LINE:COLUMN``, below ``bad``."""
    releases: tuple[str, ...] = ()
    """For which of all releases, where not for all of them: ``registry 2.8``."""
    also: tuple[str, ...] = ()
    """Rules that hit in ``bad`` besides, as errors or warnings: these are mistakes that come with
    the first."""
    release: tuple[str, ...] = ()
    containerd: tuple[str, ...] = ()
    """The options of ``pullproof lint``; without them all releases are asked about."""
    paths: tuple[str, ...] = (".",)
    """What is given to lint, below ``bad`` and ``good``."""
    pipes: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    grown: Mapping[str, int] = field(default_factory=dict)
    """What git does not keep: pipes, empty directories, and comments up to so many bytes."""

    @property
    def question(self) -> Question:
        return Question(self.release, self.containerd)


def case_of(rule_id: str) -> Case:
    """Raises ``FileNotFoundError`` without a case.toml and ``TypeError`` for an unknown key."""
    with (FIXTURES / rule_id / "case.toml").open("rb") as file:
        found = tomllib.load(file)
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
    return Case(**fields)


def copied(rule_id: str, into: Path) -> Path:
    """The example, complete, below *into*, where the test may write."""
    root = into / rule_id
    shutil.copytree(FIXTURES / rule_id, root, symlinks=True)
    case = case_of(rule_id)
    for name in case.directories:
        (root / name).mkdir(parents=True)
    for name in case.pipes:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(root / name)
    for name, size in case.grown.items():
        with (root / name).open("a") as file:
            file.write("# and so on\n" * (size // 12))
    return root


def project_of(root: Path, paths: tuple[str, ...] = (".",)) -> Project:
    """What lint reads of *paths* below *root*."""
    tree = read_all([os.path.normpath(root / path) for path in paths])
    return Project(tuple(tree.documents), tuple(tree.roots), tree.names)
