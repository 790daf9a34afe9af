"""Lint rules made from what the reader of config.yml and its reviewers already know.

The knowledge itself is in ``reference_registry.config``; here it gets ids and explanations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import TextFile
from harness.nodes.lint.finding import Edit, Spot
from harness.nodes.lint.rule import Hit, Level, RuleContext, Rules

if TYPE_CHECKING:
    from reference_registry.config.problem import Place, Problem
    from reference_registry.config.rules import Rule as Reviewer

__all__ = ["Mend", "Where", "problem_rule", "review_rule", "spot_of"]

Mend = Callable[["Problem", TextFile], tuple[Edit, ...]]
Where = Callable[["Problem", TextFile], bool]


def spot_of(place: Place) -> Spot:
    """The line and column of a place in a file."""
    return Spot(place.line or 1, place.column or 1)


def problem_rule(
    rules: Rules,
    rule_id: str,
    title: str,
    severity: Level,
    key: str,
    what: str,
    why: str,
    fix: str,
    reference: str = "measured on 2.8.2, 2.8.3, 3.0.0, 3.1.1",
    mend: Mend | None = None,
    where: Where | None = None,
) -> None:
    """Add a rule to *rules* that hits where the reader has a problem whose key and text match the
    patterns *key* and *what*, and of which *where* holds."""
    wanted_key, wanted_what = re.compile(key), re.compile(what)

    def check(file: TextFile, looked: RuleContext) -> Iterator[Hit]:
        found = file.reading(looked.profile)
        for problem in (*found.problems, *found.overlooked):
            if not wanted_key.fullmatch(problem.key) or not wanted_what.search(problem.what):
                continue
            if where is None or where(problem, file):
                said = f"{problem.key}: {problem.what}"
                edits = mend(problem, file) if mend else ()
                yield Hit(spot_of(problem.place), said, problem.fix, edits)

    about = rules(
        rule_id,
        title,
        severity=severity,
        why=why,
        fix=fix,
        reference=reference,
        by="registry",
        fixable=mend is not None,
    )
    about(check)


def review_rule(
    rules: Rules,
    rule_id: str,
    reviewer: str,
    severity: Level,
    title: str,
    why: str,
    fix: str,
    reference: str,
    *edits: Edit,
    only_where: str = "",
) -> None:
    """Add a rule to *rules* that calls the one named *reviewer* of
    ``reference_registry.config.rules``, and hits for the releases for which its advice begins with
    *only_where*; *edits* follow that advice."""

    def check(file: TextFile, looked: RuleContext) -> Iterator[Hit]:
        from reference_registry.config.rules import RULES, Reviewed, rule_name

        rule: Reviewer = next(rule for rule in RULES if rule_name(rule) == reviewer)
        found = file.reading(looked.profile)
        if found.attempted is None:
            return
        given = Reviewed(found.attempted, looked.profile, file.path, found.places)
        remark = rule(given)
        if remark is None or not remark.fix.startswith(only_where):
            return
        if _known_wrong(remark.key, found.problems, found.overlooked):
            return
        spot = spot_of(given.place_of(remark.key))
        yield Hit(spot, f"{remark.key}: {remark.why}", remark.fix, edits)

    about = rules(
        rule_id,
        title,
        severity=severity,
        why=why,
        fix=fix,
        reference=reference,
        by="registry",
        fixable=bool(edits),
    )
    about(check)


def _known_wrong(key: str, *problems: tuple[Problem, ...]) -> bool:
    """Whether the value was wrong, so that what follows from the default says nothing."""
    return any(
        problem.key == key and problem.rule not in {"no-effect", "half-a-credential"}
        for several in problems
        for problem in several
    )
