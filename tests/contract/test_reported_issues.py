"""docs/reported-issues.md: every issue has scenarios, and they exist."""

from __future__ import annotations

import pytest

from harness.suite.catalogue import declared
from tests.contract.proof_tables import proofs, rows

_ISSUES = rows("reported-issues.md")
_REPORTED = 30
"""Number of reported issues of distribution's proxy."""


def test_each_issue_has_a_row() -> None:
    numbers = [int(row[0]) for row in _ISSUES if row[0].isdigit()]
    assert numbers == list(range(1, _REPORTED + 1))


@pytest.mark.parametrize("row", _ISSUES, ids=lambda row: row[0][:40])
def test_a_row_names_scenarios_that_exist(row: list[str]) -> None:
    assert proofs(row)
    assert proofs(row) <= {scenario.id for scenario in declared()}


@pytest.mark.parametrize("row", _ISSUES, ids=lambda row: row[0][:40])
def test_each_issue_says_where_it_was_reported(row: list[str]) -> None:
    assert row[-2]
    assert row[-3]
