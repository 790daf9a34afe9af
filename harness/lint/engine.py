"""Running the rules over the documents. Pure: what is asked, and the files, are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.lint.documents import Document
from harness.lint.finding import Finding, printable
from harness.lint.project import Project
from harness.lint.rule import Hit, Kind, Looked, Rule, loaded_rules

if TYPE_CHECKING:
    from harness.mirrors.containerd.releases import Release
    from reference_registry.profiles import Profile

__all__ = ["CONTAINERD_RELEASES", "REGISTRY_RELEASES", "Question", "findings", "selects"]

REGISTRY_RELEASES = ("2.8", "3.0", "3.1")
CONTAINERD_RELEASES = ("1.6", "1.7", "2.0", "2.1", "2.3")
"""Asked about where the user names none: the last release of each series that differs."""


@dataclass(frozen=True)
class Question:
    """For which releases, and which rules. Nothing named means all of them."""

    registry: tuple[str, ...] = ()
    containerd: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


def selects(question: Question, rule_id: str) -> bool:
    """Whether the rule is asked for. ``PPH`` stands for every rule whose id begins so."""
    wanted = not question.select or rule_id.startswith(question.select)
    return wanted and not (question.ignore and rule_id.startswith(question.ignore))


def findings(project: Project, question: Question) -> list[Finding]:
    """Everything that the rules have to say, in the order of files and lines.

    Raises ``UnknownRelease`` or ``ValueError`` for a release that is not known.
    """
    kinds = {document.kind for document in project.documents}
    if not kinds:
        return []
    runs = _Runs(project, question, kinds)
    rules = [rule for rule in loaded_rules(*kinds) if selects(question, rule.id)]
    found = [
        _finding(rule, document, hit, releases)
        for document in project.documents
        for rule in rules
        if document.kind in rule.kinds
        for hit, releases in runs.hits(rule, document)
    ]
    return sorted(found, key=lambda f: (f.file, f.spot, f.severity.rank, f.rule))


class _Runs:
    def __init__(self, project: Project, question: Question, kinds: Iterable[Kind]) -> None:
        from harness.mirrors.containerd.releases import release_named

        names = question.containerd or CONTAINERD_RELEASES
        self.containerd: dict[str, Release] = {name: release_named(name) for name in names}
        self.registry: dict[str, Profile] = {}
        if Kind.REGISTRY in kinds:
            from reference_registry.profiles import profile_named

            chosen = question.registry or REGISTRY_RELEASES
            self.registry = {name: profile_named(name) for name in chosen}
        newest = next(reversed(self.containerd.values()))
        self.looked = Looked(project, newest)

    def hits(self, rule: Rule, document: Document) -> Iterator[tuple[Hit, tuple[str, ...]]]:
        """What *rule* finds, and for which releases, where not for all of them."""
        if not rule.differs_by:
            for hit in rule.check(document, self.looked):
                yield hit, ()
            return
        found: dict[Hit, list[str]] = {}
        looks = list(self._looks(rule))
        for name, looked in looks:
            for hit in dict.fromkeys(rule.check(document, looked)):
                found.setdefault(hit, []).append(name)
        for hit, names in found.items():
            yield hit, () if len(names) == len(looks) else tuple(names)

    def _looks(self, rule: Rule) -> Iterator[tuple[str, Looked]]:
        if rule.differs_by == "containerd":
            for name, release in self.containerd.items():
                yield f"containerd {name}", replace(self.looked, containerd=release)
        else:
            for name, profile in self.registry.items():
                yield f"registry {name}", replace(self.looked, registry=profile)


def _finding(rule: Rule, document: Document, hit: Hit, releases: tuple[str, ...]) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        file=document.path,
        spot=hit.spot,
        what=printable(hit.what),
        why=rule.why,
        fix=printable(hit.fix or rule.fix),
        reference=rule.reference,
        releases=releases,
        edits=hit.edits,
        unreadable=rule.id in UNREADABLE,
    )


UNREADABLE = frozenset({"PPX001", "PPX002", "PPX004", "PPX005", "PPX006", "PPX008"})
"""Rules that say that nothing could be read, which is exit code 2."""
