"""Rules: small pure functions, registered with the text that lint prints where they hit.

A rule gets one document and its context, and yields hits. What is the same for every hit of a rule
(severity, title, why, fix, source) is an entry of ``rules/texts.txt``, from which docs/lint.md is
generated too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path as FilePath
from typing import Any, Literal

from harness.nodes.lint.finding import (
    Edit,
    Path,
    RenameKey,
    SetValue,
    Severity,
    Spot,
    nearest,
    quoted,
)
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import Cluster, cluster_of
from harness.nodes.lint.project import Project
from harness.nodes.models.containerd.releases import Release
from reference_registry.profiles import Profile

__all__ = ["Check", "Hit", "LintRule", "RuleContext", "Rules", "Varies", "misspelt", "rule_texts"]

Varies = Literal["", "containerd", "registry"]
"""The program whose release decides whether a rule hits, if any."""


@dataclass(frozen=True)
class Hit:
    """A place where a rule applies. ``fix`` is what to do here, if it is more specific than the
    rule's own advice; ``edits`` do it."""

    spot: Spot
    what: str
    fix: str = ""
    edits: tuple[Edit, ...] = ()


def misspelt(
    spot: Spot,
    what: str,
    word: str,
    known: Iterable[str],
    *,
    rename: Path = (),
    write: Path = (),
    present: Container[str] = (),
) -> Hit:
    """The hit for *word*, which is not one of *known*. If it resembles one of them, the hit
    suggests that one, and the edit renames the key *rename*, unless the name is *present* already,
    or sets the value of the key *write*."""
    near = nearest(word, known)
    edits: tuple[Edit, ...] = ()
    if near and rename and near not in present:
        edits = (RenameKey(rename, near),)
    elif near and write:
        edits = (SetValue(write, near),)
    return Hit(spot, f"{what} {quoted(word)}", f"did you mean {near}?" if near else "", edits)


@dataclass(frozen=True)
class RuleContext:
    """What a rule knows besides its document: the other files, and one release of each program."""

    project: Project
    containerd: Release
    registry: Profile | None = None
    """Set for rules with ``by="registry"`` only: loading it takes as long as all of hosts.toml."""

    @property
    def profile(self) -> Profile:
        """The release of the registry."""
        assert self.registry is not None
        return self.registry

    @property
    def cluster(self) -> Cluster:
        """The Kubernetes manifests of the project."""
        return cluster_of(self.project)


Check = Callable[[Any, RuleContext], Iterator[Hit]]


@dataclass(frozen=True)
class LintRule:
    """A check, and the text that lint prints where it hits."""

    id: str
    severity: Severity
    title: str
    why: str
    fix: str
    source: str
    kinds: tuple[Kind, ...]
    check: Check = field(repr=False)
    differs_by: Varies = ""
    fixable: bool = False
    """Whether some of its hits have edits for ``--fix``."""


_TEXTS = FilePath(__file__).with_name("rules") / "texts.txt"
_FIELD = re.compile(r"\n    (?=\w+:\s)")


@cache
def rule_texts() -> Mapping[str, Mapping[str, str]]:
    """The fields of each entry of ``rules/texts.txt`` by the rule's id. An entry is a line
    ``ID SEVERITY: TITLE``, and for each field indented lines ``NAME: TEXT``."""
    found = {}
    for entry in re.split(r"\n(?=PP)", _TEXTS.read_text(encoding="utf-8")):
        rule_id, title, *fields = _FIELD.split(entry.replace(" ", "\n    ", 1))
        pairs = (field.partition(":")[::2] for field in [title, *fields])
        text = {name: " ".join(value.split()) for name, value in pairs}
        severity = next(iter(text))
        found[rule_id] = {"severity": severity, "title": text[severity], **text}
    return found


class Rules:
    """The rules of one module. *kinds* are the files that they are for, unless a rule names
    others."""

    def __init__(self, *kinds: Kind) -> None:
        self.kinds = kinds
        self.all: list[LintRule] = []

    def __call__(
        self,
        rule_id: str,
        *,
        by: Varies = "",
        fixable: bool = False,
        kinds: tuple[Kind, ...] = (),
    ) -> Callable[[Check], Check]:
        """Register the function below as the check of *rule_id*."""
        text = rule_texts()[rule_id]

        def register(check: Check) -> Check:
            self.all.append(
                LintRule(
                    rule_id,
                    Severity(text["severity"]),
                    text["title"],
                    text["why"],
                    text["fix"],
                    text["source"],
                    kinds or self.kinds,
                    check,
                    by,
                    fixable,
                )
            )
            return check

        return register
