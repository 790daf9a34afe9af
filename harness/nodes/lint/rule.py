"""Rules: small pure functions, registered with the text that lint prints where they hit.

A rule gets one document and its context, and yields hits. What is the same for every hit of a rule
(severity, title, why, fix, source) is an entry of ``rules/texts.txt``, from which docs/lint.md is
generated too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from typing import Any, Literal

from harness.nodes.lint.documents import Document
from harness.nodes.lint.finding import Edit, Hit, KeyEdit, Path, Severity, Spot, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import Cluster, Project, cluster_of
from harness.nodes.models.containerd.releases import Release
from reference_registry.profiles import Profile

Varies = Literal["", "containerd", "registry"]
"""The program whose release decides whether a rule hits, if any."""


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
        edits = (KeyEdit("rename", rename, near),)
    elif near and write:
        edits = (KeyEdit("set", write, near),)
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


Each = Callable[[Any, RuleContext], Iterable[Any]]
Function = Callable[[Any, RuleContext], Iterable[Hit | tuple[str, Hit]]]


@dataclass(frozen=True)
class Check:
    """A function, and the rules that it checks. It gets each part of a document that *each* finds,
    and yields hits: with the rule's id if it checks several."""

    function: Function
    each: Each
    ids: tuple[str, ...]
    kinds: tuple[Kind, ...]
    by: Varies
    """The program for whose releases it runs one by one."""

    def run(self, document: Document, context: RuleContext) -> Iterator[tuple[str, Hit]]:
        """The hits in *document*, each with the id of its rule."""
        for part in self.each(document, context):
            for hit in self.function(part, context):
                yield hit if isinstance(hit, tuple) else (self.ids[0], hit)


@dataclass(frozen=True)
class LintRule:
    """A rule: what lint prints where it hits, and the files that it is for."""

    id: str
    severity: Severity
    title: str
    why: str
    fix: str
    source: str
    fixable: bool
    """Whether some of its hits have edits for ``--fix``."""
    kinds: tuple[Kind, ...]
    differs_by: Varies


_TEXTS = FilePath(__file__).with_name("rules") / "texts.txt"
_FIELD = re.compile(r"\n    (?=\w+:\s)")


@cache
def rule_texts() -> Mapping[str, Mapping[str, str]]:
    """The fields of each entry of ``rules/texts.txt`` by the rule's id. An entry is a line
    ``ID SEVERITY: TITLE`` or ``ID SEVERITY fixable: TITLE``, and for each field indented lines
    ``NAME: TEXT``."""
    found = {}
    for entry in re.split(r"\n(?=PP)", _TEXTS.read_text(encoding="utf-8")):
        head, *fields = _FIELD.split(entry)
        words, _, title = head.partition(":")
        rule_id, severity, *fixable = words.split()
        text = {"severity": severity, "title": title, "fixable": " ".join(fixable)}
        text |= dict(field.partition(":")[::2] for field in fields)
        found[rule_id] = {name: " ".join(value.split()) for name, value in text.items()}
    return found


class Rules:
    """The rules of one module, which are for files of *kinds*."""

    def __init__(self, *kinds: Kind) -> None:
        self.kinds = kinds
        self.all: dict[str, LintRule] = {}
        self.checks: list[Check] = []

    def __call__(
        self, *ids: str, each: Each | None = None, by: Varies = "", kinds: tuple[Kind, ...] = ()
    ) -> Callable[[Function], Function]:
        """Register the function below as a check of the rules *ids*. It gets the file, or what
        *each* finds in it, and a context; see :class:`Check`."""
        kinds = kinds or self.kinds
        for rule_id in ids:
            text = rule_texts()[rule_id]
            severity, fixable = Severity(text["severity"]), bool(text["fixable"])
            says = text["title"], text["why"], text["fix"], text["source"]
            self.all[rule_id] = LintRule(rule_id, severity, *says, fixable, kinds, by)

        def register(function: Function) -> Function:
            parts = each or (lambda file, context: (file,))
            self.checks.append(Check(function, parts, ids, kinds, by))
            return function

        return register
