"""Runs the rules on the documents. Pure: options and files are arguments.

A comment suppresses a finding: ``# pullproof: ignore[PPH026] why``. After a value, it applies to
its line; alone on a line, to the next line that is not blank or a comment; ``ignore-file[...]``
applies to the whole file. JSON has no comments, and a file that cannot be read has none: use
``--ignore`` for these.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from harness.nodes.lint.documents import Directory, Document, TreeFile, Unread
from harness.nodes.lint.finding import Hit, LintFinding, Spot, printable
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import Project
from harness.nodes.lint.rule import Check, LintRule, RuleContext
from harness.nodes.lint.rules import loaded_checks, loaded_rules
from harness.nodes.models.containerd.releases import release_named

REGISTRY_RELEASES = ("2.8", "3.0", "3.1")
CONTAINERD_RELEASES = ("1.6", "1.7", "2.0", "2.1", "2.3")
"""The default: the last release of each series that differs."""


@dataclass(frozen=True)
class LintOptions:
    """The releases and the rules to check; empty means all."""

    registry: tuple[str, ...] = ()
    containerd: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


def selects(options: LintOptions, rule_id: str) -> bool:
    """Whether the rule is selected; ``PPH`` selects every rule whose id begins with it."""
    wanted = not options.select or rule_id.startswith(options.select)
    return wanted and not (options.ignore and rule_id.startswith(options.ignore))


@dataclass(frozen=True)
class Outcome:
    """The findings in the order of files and lines, and those that a comment suppresses."""

    findings: tuple[LintFinding, ...] = ()
    suppressed: tuple[tuple[LintFinding, Suppression], ...] = ()


def run_rules(
    project: Project, options: LintOptions, only: Collection[Document] | None = None
) -> Outcome:
    """The findings in all documents, or in some of them.

    Raises ``UnknownRelease`` or ``ValueError`` for a release that is not known.
    """
    documents = project.documents if only is None else tuple(only)
    kinds = {document.kind for document in documents}
    if not kinds:
        return Outcome()
    contexts = _contexts(project, options, kinds)
    rules = {rule.id: rule for rule in loaded_rules(*kinds) if selects(options, rule.id)}
    checks = [check for check in loaded_checks(*kinds) if rules.keys() & set(check.ids)]
    said: list[LintFinding] = []
    suppressed: list[tuple[LintFinding, Suppression]] = []
    for document in documents:
        comments = list(suppressions(document))
        unused = {(comment, rule_id) for comment in comments for rule_id in comment.ids}
        hits = (
            hit
            for check in checks
            if document.kind in check.kinds
            for hit in _hits(check, document, contexts[check.by])
        )
        for rule_id, hit, releases in hits:
            if rule_id in rules:
                finding = _finding(rules[rule_id], document, hit, releases)
                comment = next((c for c in comments if c.covers(finding)), None)
                if comment is None:
                    said.append(finding)
                else:
                    suppressed.append((finding, comment))
                    unused.discard((comment, finding.rule))
        said += _unused_comments(document, options, comments, unused)
    return Outcome(
        tuple(sorted(said, key=_order)), tuple(sorted(suppressed, key=lambda one: _order(one[0])))
    )


def _contexts(
    project: Project, options: LintOptions, kinds: Collection[Kind]
) -> dict[str, dict[str, RuleContext]]:
    """For each program, a context for each of its releases; for ``""``, one for all."""
    releases = {name: release_named(name) for name in options.containerd or CONTAINERD_RELEASES}
    every = RuleContext(project, next(reversed(releases.values())))
    containerd = {f"containerd {n}": replace(every, containerd=r) for n, r in releases.items()}
    registry = {}
    if Kind.REGISTRY in kinds or options.registry:
        from reference_registry.profiles import profile_named

        for name in options.registry or REGISTRY_RELEASES:
            registry[f"registry {name}"] = replace(every, registry=profile_named(name))
    return {"": {"": every}, "containerd": containerd, "registry": registry}


def _hits(
    check: Check, document: Document, contexts: dict[str, RuleContext]
) -> Iterator[tuple[str, Hit, tuple[str, ...]]]:
    """The hits, each with its rule, and its releases if it is not a hit for all of them."""
    found: dict[tuple[str, Hit], list[str]] = {}
    for name, context in contexts.items():
        for pair in dict.fromkeys(check.run(document, context)):
            found.setdefault(pair, []).append(name)
    for (rule_id, hit), names in found.items():
        yield rule_id, hit, () if len(names) == len(contexts) else tuple(names)


def _order(finding: LintFinding) -> tuple[str, Spot, int, str]:
    return finding.file, finding.spot, finding.severity.rank, finding.rule


def _unused_comments(
    document: Document,
    options: LintOptions,
    comments: Collection[Suppression],
    unused: Collection[tuple[Suppression, str]],
) -> Iterator[LintFinding]:
    """Comments that suppress nothing. A rule is left out if it was not selected, or not checked for
    all releases."""
    if not comments or not selects(options, UNUSED_SUPPRESSION):
        return
    rules = {rule.id: rule for rule in loaded_rules()}
    for comment in comments:
        hits = []
        if not comment.ids:
            hits.append(Hit(comment.spot, "no rule is named", "write ignore[ID] and a reason"))
        for rule_id in comment.ids:
            rule = rules.get(rule_id)
            if rule is None:
                hits.append(Hit(comment.spot, f"unknown rule {rule_id}"))
            elif (comment, rule_id) in unused and selects(options, rule_id):
                in_part = rule.differs_by and getattr(options, rule.differs_by)
                if not in_part:
                    hits.append(Hit(comment.spot, f"{rule_id} finds nothing on that line"))
        yield from (_finding(rules[UNUSED_SUPPRESSION], document, hit, ()) for hit in hits)


def _finding(
    rule: LintRule, document: Document, hit: Hit, releases: tuple[str, ...]
) -> LintFinding:
    return LintFinding(
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
"""Rules about files that could not be read, which means exit code 2."""

UNUSED_SUPPRESSION = "PPX012"


_WORD = "pullproof:"
_COMMENT = re.compile(
    r"(?:^|(?<=\s))#[ \t]*pullproof:[ \t]*(?P<word>ignore(?:-file)?)\b[ \t]*"
    r"(?:\[(?P<ids>[^\]]*)\])?[ \t]*(?P<reason>.*)"
)
_BLANK_OR_COMMENT = re.compile(r"\s*(?:#.*)?")


@dataclass(frozen=True)
class Suppression:
    """One comment. ``line`` is the line that it is about, None for all of them; without ``ids`` it
    is about nothing."""

    spot: Spot
    line: int | None
    ids: tuple[str, ...]
    reason: str

    def covers(self, finding: LintFinding) -> bool:
        """Whether *finding* is what it is about."""
        return finding.rule in self.ids and self.line in {None, finding.spot.line}


def suppressions(document: Document) -> Iterator[Suppression]:
    """The suppression comments in *document*, in the order of lines."""
    if _WORD not in document.text or isinstance(document, Directory | Unread):
        return
    if document.kind is Kind.SCHEDULE or (isinstance(document, TreeFile) and document.as_json):
        return
    lines = document.text.splitlines()
    for number, line in enumerate(lines, 1):
        match = _COMMENT.search(line)
        if match is None:
            continue
        about: int | None = number
        if match["word"] == "ignore-file":
            about = None
        elif not line[: match.start()].strip():
            rest = enumerate(lines[number:], number + 1)
            about = next((n for n, text in rest if not _BLANK_OR_COMMENT.fullmatch(text)), 0)
        ids = (match["ids"] or "").upper().replace(",", " ").split()
        spot = Spot(number, match.start() + 1)
        yield Suppression(spot, about, tuple(ids), match["reason"].strip())
