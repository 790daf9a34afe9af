"""Every rule hits in its bad example at the given positions, and not in the good one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.nodes.lint.engine import CONTAINERD_RELEASES, REGISTRY_RELEASES, LintOptions
from harness.nodes.lint.finding import LintFinding
from harness.nodes.lint.fix.repair import repaired
from harness.nodes.lint.project import Project
from harness.nodes.lint.rule import LintRule
from harness.nodes.lint.rules import loaded_rules
from tests.unit.lint.cases import FIXTURES, Case, case_of, copied, findings, project_of
from tests.unit.lint.catalogue import PAGE, rendered

_RULES = {rule.id: rule for rule in loaded_rules()}


def test_every_rule_has_an_example_and_every_example_a_rule() -> None:
    examples = {path.name for path in FIXTURES.iterdir() if path.is_dir()}
    assert examples == set(_RULES)


@pytest.mark.parametrize("rule", _RULES.values(), ids=_RULES)
def test_the_rule_hits_in_bad_and_not_in_good(rule: LintRule, tmp_path: Path) -> None:
    case = case_of(rule.id)
    root = copied(rule.id, tmp_path)
    bad, good = (project_of(root / name, case.paths) for name in ("bad", "good"))

    found = findings(bad, case.options)
    places = {_place(f, root / "bad") for f in found if f.rule == rule.id}
    assert places == set(case.at)
    assert _errors_and_warnings(found, rule) == {rule.id, *case.also}
    assert not _errors_and_warnings(findings(good, case.options), rule)

    everywhere = [f.releases for f in findings(bad, LintOptions()) if f.rule == rule.id]
    assert _for_which(everywhere, rule) == case.releases
    if rule.fixable:
        _assert_fixed(rule, case, bad)


def _for_which(found: list[tuple[str, ...]], rule: LintRule) -> tuple[str, ...]:
    """The releases of several findings together; empty for all releases."""
    names = CONTAINERD_RELEASES if rule.differs_by == "containerd" else REGISTRY_RELEASES
    known = tuple(f"{rule.differs_by} {name}" for name in names)
    together = tuple(name for name in known if any(name in some for some in found))
    return () if () in found or together == known else together


def _assert_fixed(rule: LintRule, case: Case, bad: Project) -> None:
    """The example of a fixable rule is a case that its edits fix."""
    fixed = repaired(bad, LintOptions(case.release, case.containerd, select=(rule.id,)))
    assert fixed.repairs
    assert not fixed.refusals
    left = _errors_and_warnings(findings(fixed.project, case.options), rule)
    assert left <= set(case.also)


def _errors_and_warnings(found: list[LintFinding], rule: LintRule) -> set[str]:
    """The rules of errors and warnings, and *rule* at any level."""
    return {f.rule for f in found if f.rule == rule.id or f.severity.rank < 2}


def _place(finding: LintFinding, root: Path) -> str:
    file = os.path.relpath(finding.file, root)
    return f"{file}:{finding.spot.line}:{finding.spot.column}"


def test_docs_lint_md_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == rendered(), "make docs"
