"""Running the rules over the documents. Pure: what is asked, and the files, are given."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import Document
from harness.nodes.lint.finding import Finding, Spot, printable
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import Project
from harness.nodes.lint.rule import Hit, Rule, RuleContext
from harness.nodes.lint.rules import loaded_rules
from harness.nodes.lint.suppression import Suppression, suppressions

if TYPE_CHECKING:
    from harness.nodes.models.containerd.releases import Release
    from reference_registry.profiles import Profile

__all__ = [
    "CONTAINERD_RELEASES",
    "REGISTRY_RELEASES",
    "Outcome",
    "Question",
    "findings",
    "look",
    "selects",
]

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


@dataclass(frozen=True)
class Outcome:
    """What there is to say, in the order of files and lines, and what comments asked not to say."""

    findings: tuple[Finding, ...] = ()
    suppressed: tuple[tuple[Finding, Suppression], ...] = ()


def findings(project: Project, question: Question) -> list[Finding]:
    """The findings of :func:`look`, as a list."""
    return list(look(project, question).findings)


def look(project: Project, question: Question, only: Collection[Document] | None = None) -> Outcome:
    """Everything that the rules have to say, of all documents or of some of them.

    Raises ``UnknownRelease`` or ``ValueError`` for a release that is not known.
    """
    documents = project.documents if only is None else tuple(only)
    kinds = {document.kind for document in documents}
    if not kinds:
        return Outcome()
    runs = _Runs(project, question, kinds)
    rules = [rule for rule in loaded_rules(*kinds) if selects(question, rule.id)]
    said: list[Finding] = []
    suppressed: list[tuple[Finding, Suppression]] = []
    for document in documents:
        found = [
            _finding(rule, document, hit, releases)
            for rule in rules
            if document.kind in rule.kinds
            for hit, releases in runs.hits(rule, document)
        ]
        comments = list(suppressions(document))
        unused = {(comment, rule_id) for comment in comments for rule_id in comment.ids}
        for finding in found:
            comment = next((c for c in comments if _is_about(c, finding)), None)
            if comment is None:
                said.append(finding)
            else:
                suppressed.append((finding, comment))
                unused.discard((comment, finding.rule))
        said += _useless(document, question, comments, unused)
    return Outcome(tuple(sorted(said, key=_order)), tuple(sorted(suppressed, key=_first)))


def _order(finding: Finding) -> tuple[str, Spot, int, str]:
    return finding.file, finding.spot, finding.severity.rank, finding.rule


def _first(pair: tuple[Finding, Suppression]) -> tuple[str, Spot, int, str]:
    return _order(pair[0])


def _is_about(comment: Suppression, finding: Finding) -> bool:
    return finding.rule in comment.ids and comment.line in {None, finding.spot.line}


def _useless(
    document: Document,
    question: Question,
    comments: Iterable[Suppression],
    unused: Collection[tuple[Suppression, str]],
) -> Iterator[Finding]:
    """What is wrong with the comments themselves. Nothing is said of a rule that was not asked for,
    or not for all the releases that it may be about."""
    if not comments or not selects(question, USELESS_SUPPRESSION):
        return
    rules = {rule.id: rule for rule in loaded_rules()}
    about = rules[USELESS_SUPPRESSION]
    for comment in comments:
        if not comment.ids:
            said = Hit(comment.spot, "no rule is named", "write ignore[ID] and a reason")
            yield _finding(about, document, said, ())
        for rule_id in comment.ids:
            rule = rules.get(rule_id)
            if rule is None:
                said = Hit(comment.spot, f"unknown rule {rule_id}")
                yield _finding(about, document, said, ())
            elif (comment, rule_id) in unused and _asked_in_full(question, rule):
                said = Hit(comment.spot, f"{rule_id} finds nothing on that line")
                yield _finding(about, document, said, ())


def _asked_in_full(question: Question, rule: Rule) -> bool:
    releases = rule.differs_by and getattr(question, rule.differs_by)
    return selects(question, rule.id) and not releases


class _Runs:
    def __init__(self, project: Project, question: Question, kinds: Iterable[Kind]) -> None:
        from harness.nodes.models.containerd.releases import release_named

        names = question.containerd or CONTAINERD_RELEASES
        self.containerd: dict[str, Release] = {name: release_named(name) for name in names}
        self.registry: dict[str, Profile] = {}
        if Kind.REGISTRY in kinds or question.registry:
            from reference_registry.profiles import profile_named

            chosen = question.registry or REGISTRY_RELEASES
            self.registry = {name: profile_named(name) for name in chosen}
        newest = next(reversed(self.containerd.values()))
        self.context = RuleContext(project, newest)
        self.looks = {
            "containerd": {
                f"containerd {name}": replace(self.context, containerd=release)
                for name, release in self.containerd.items()
            },
            "registry": {
                f"registry {name}": replace(self.context, registry=profile)
                for name, profile in self.registry.items()
            },
        }

    def hits(self, rule: Rule, document: Document) -> Iterator[tuple[Hit, tuple[str, ...]]]:
        """What *rule* finds, and for which releases, where not for all of them."""
        if not rule.differs_by:
            for hit in rule.check(document, self.context):
                yield hit, ()
            return
        found: dict[Hit, list[str]] = {}
        looks = self.looks[rule.differs_by]
        for name, context in looks.items():
            for hit in dict.fromkeys(rule.check(document, context)):
                found.setdefault(hit, []).append(name)
        for hit, names in found.items():
            yield hit, () if len(names) == len(looks) else tuple(names)


def _finding(rule: Rule, document: Document, hit: Hit, releases: tuple[str, ...]) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        file=document.path,
        spot=hit.spot,
        what=printable(hit.what),
        why=rule.why,
        fix=printable(hit.fix or rule.fix),
        reference=rule.source,
        releases=releases,
        edits=hit.edits,
        unreadable=rule.id in UNREADABLE,
    )


UNREADABLE = frozenset({"PPX001", "PPX002", "PPX004", "PPX005", "PPX006", "PPX008"})
"""Rules that say that nothing could be read, which is exit code 2."""

USELESS_SUPPRESSION = "PPX012"
