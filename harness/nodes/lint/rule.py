"""Rules: small pure functions, registered with the text that lint prints where they hit.

A rule gets one document and its context, and yields hits. What is the same for every hit (title,
why, fix, source) is the docstring of the function, or an entry of a table (:func:`entries`);
docs/lint.md is generated from both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Any, Literal

from harness.nodes.lint.finding import Edit, Severity, Spot
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import Cluster, cluster_of
from harness.nodes.lint.project import Project
from harness.nodes.models.containerd.releases import Release
from reference_registry.profiles import Profile

__all__ = ["Check", "Hit", "Rule", "RuleContext", "Rules", "Varies", "entries"]

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
class Rule:
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


_FIELD = re.compile(r"^(?=(?:key|says|review|when|why|fix|source):\s)", re.MULTILINE)


def _fields(text: str) -> dict[str, str]:
    """``title`` and the fields of a declaration, each in one line."""
    title, *fields = _FIELD.split(cleandoc(text))
    found = {"title": " ".join(title.split()).removesuffix("."), "source": ""}
    for one in fields:
        name, _, value = one.partition(":")
        found[name] = " ".join(value.split())
    return found


def entries(table: str) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """The entries of a table of rules: id, severity and fields. An entry is a line
    ``ID SEVERITY TITLE`` and indented lines ``FIELD: TEXT``."""
    for text in re.split(r"^(?=PP)", table.lstrip(), flags=re.MULTILINE)[1:]:
        rule_id, severity, rest = text.split(maxsplit=2)
        yield rule_id, severity, _fields(rest)


class Rules:
    """The rules of one module. *kinds* and *source* are the defaults of its rules."""

    def __init__(self, *kinds: Kind, source: str = "") -> None:
        self.kinds = kinds
        self.source = source
        self.all: list[Rule] = []

    def __call__(
        self,
        rule_id: str,
        severity: str,
        *,
        by: Varies = "",
        fixable: bool = False,
        kinds: tuple[Kind, ...] = (),
    ) -> Callable[[Check], Check]:
        """Register the function below, whose docstring has the title, why, fix and source."""

        def register(check: Check) -> Check:
            fields = _fields(check.__doc__ or "")
            self.add(rule_id, severity, fields, check, by=by, fixable=fixable, kinds=kinds)
            return check

        return register

    def add(
        self,
        rule_id: str,
        severity: str,
        fields: Mapping[str, str],
        check: Check,
        *,
        by: Varies = "",
        fixable: bool = False,
        kinds: tuple[Kind, ...] = (),
    ) -> None:
        """Register *check* with the *fields* of its declaration."""
        title, why, fix = fields["title"], fields["why"], fields["fix"]
        source, kinds = fields["source"] or self.source, kinds or self.kinds
        level = Severity(severity)
        rule = Rule(rule_id, level, title, why, fix, source, kinds, check, by, fixable)
        self.all.append(rule)
