"""Lint rules made from what the reader of config.yml and its reviewers already know.

The knowledge itself is in ``reference_registry.config``; here it gets ids and explanations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.lint.documents import TextFile
from harness.lint.finding import Edit, Spot
from harness.lint.rule import Check, Hit, Looked

if TYPE_CHECKING:
    from reference_registry.config.problem import Place, Problem
    from reference_registry.config.rules import Rule as Reviewer

__all__ = ["Mend", "problem_rule", "review_rule", "spot_of"]

Mend = Callable[["Problem", TextFile], tuple[Edit, ...]]


def spot_of(place: Place) -> Spot:
    """The line and column of a place in a file."""
    return Spot(place.line or 1, place.column or 1)


def problem_rule(key: str, what: str = "", *, mend: Mend | None = None) -> Check:
    """A check that hits where the reader has a problem whose key and text match the patterns."""
    wanted_key, wanted_what = re.compile(key), re.compile(what)

    def check(file: TextFile, looked: Looked) -> Iterator[Hit]:
        found = file.reading(looked.profile)
        for problem in (*found.problems, *found.overlooked):
            if wanted_key.fullmatch(problem.key) and wanted_what.search(problem.what):
                said = f"{problem.key}: {problem.what}"
                edits = mend(problem, file) if mend else ()
                yield Hit(spot_of(problem.place), said, problem.fix, edits)

    return check


def review_rule(reviewer: str, *edits: Edit, only_where: str = "") -> Check:
    """A check that calls the rule of this name of ``reference_registry.config.rules``. *edits* are
    right for a release where the advice for it begins with *only_where*."""

    def check(file: TextFile, looked: Looked) -> Iterator[Hit]:
        from reference_registry.config.rules import RULES, Reviewed, rule_name

        rule: Reviewer = next(rule for rule in RULES if rule_name(rule) == reviewer)
        found = file.reading(looked.profile)
        if found.attempted is None:
            return
        remark = rule(Reviewed(found.attempted, looked.profile, file.path, found.places))
        if remark is None or _known_wrong(remark.key, found.problems, found.overlooked):
            return
        place = Reviewed(found.attempted, looked.profile, file.path, found.places).place_of(
            remark.key
        )
        mending = edits if remark.fix.startswith(only_where) else ()
        yield Hit(spot_of(place), f"{remark.key}: {remark.why}", remark.fix, mending)

    return check


def _known_wrong(key: str, *problems: tuple[Problem, ...]) -> bool:
    """Whether the value was wrong, so that what follows from the default says nothing."""
    return any(
        problem.key == key and problem.rule not in {"no-effect", "half-a-credential"}
        for several in problems
        for problem in several
    )
