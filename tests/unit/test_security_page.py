"""docs/security.md names tests and scenarios that exist; the audit says what it skips."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.audit import audit

HOME = Path(__file__).parents[2]
BUDGETS = (HOME / "docs" / "security.md").read_text().partition("\n## Budgets\n")[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in BUDGETS.splitlines()
    if line.startswith("| ") and not line.startswith("| budget |")
]


def test_each_budget_is_proven_by_a_test_or_scenario_that_exists() -> None:
    assert ROWS
    scenarios = re.findall(r"^### `(.+)`$", (HOME / "docs/scenarios.md").read_text(), re.MULTILINE)
    sources = "".join(path.read_text() for path in (HOME / "tests").rglob("test_*.py"))
    tests = set(re.findall(r"^ *(?:async )?def (test_\w+)", sources, re.MULTILINE))
    for budget, *_, proof in ROWS:
        names = re.findall(r"`([^`]+)`", proof)
        assert names, budget
        assert not set(names) - tests - set(scenarios), budget


def test_each_key_of_a_budget_is_documented() -> None:
    page = (HOME / "docs" / "configuration.md").read_text()
    for budget, _, key, _ in ROWS:
        assert key == "-" or all(f"`{name}`" in page for name in re.findall(r"`(.+?)`", key)), (
            budget
        )


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("import sys; sys.exit('no route to host')", 0, "pip-audit: skipped: no route to host"),
        (
            """print('{"dependencies": [{"name": "a", "skip_reason": "unknown"}]}')""",
            0,
            "pip-audit: 0 packages asked about; skipped 1 that the service does not know, a first",
        ),
        (
            """print('{"dependencies": [{"name": "a", "version": "1", "vulns": '
                  '[{"id": "CVE-1", "fix_versions": ["2"]}]}]}'); raise SystemExit(1)""",
            1,
            "pip-audit: a 1: CVE-1, fixed in 2",
        ),
    ],
    ids=["unreachable", "unknown", "vulnerable"],
)
def test_the_audit_fails_only_for_a_vulnerability(program: str, code: int, said: str) -> None:
    lines, result = audit((sys.executable, "-c", program))
    assert (lines[0], result) == (said, code)
