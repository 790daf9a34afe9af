"""The examples of lint's rules in fixtures/lint/; its README describes the format."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.nodes.lint.engine import LintOptions, run_rules
from harness.nodes.lint.finding import LintFinding
from harness.nodes.lint.project import Project
from harness.nodes.lint.reading import read_all

FIXTURES = Path(__file__).parents[3] / "fixtures" / "lint"


@dataclass(frozen=True)
class Case:
    """The content of case.toml. Its keys are the fields."""

    at: tuple[str, ...]
    """Where the rule hits in ``bad``: ``FILE:LINE:COLUMN``, below ``bad``."""
    releases: tuple[str, ...] = ()
    """The releases for which it hits, if not for all: ``registry 2.8``."""
    also: tuple[str, ...] = ()
    """Other rules that hit in ``bad`` as errors or warnings, from mistakes that come with this
    one."""
    release: tuple[str, ...] = ()
    containerd: tuple[str, ...] = ()
    """The options of ``pullproof lint``; default: all releases."""
    paths: tuple[str, ...] = (".",)
    """What is given to lint, below ``bad`` and ``good``."""
    pipes: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    grown: Mapping[str, int] = field(default_factory=dict)
    """What git does not store: pipes, empty directories, and files filled up with comments."""

    @property
    def options(self) -> LintOptions:
        return LintOptions(self.release, self.containerd)


def case_of(rule_id: str) -> Case:
    """Raises ``FileNotFoundError`` without a case.toml and ``TypeError`` for an unknown key."""
    with (FIXTURES / rule_id / "case.toml").open("rb") as file:
        found = tomllib.load(file)
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
    return Case(**fields)


def copied(rule_id: str, into: Path) -> Path:
    """A complete copy of the example below *into*."""
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
    return read_all([os.path.normpath(root / path) for path in paths])


def findings(project: Project, options: LintOptions) -> list[LintFinding]:
    """What lint finds in *project*."""
    return list(run_rules(project, options).findings)
