"""docs/pains.md: every pain has a scenario that shows it, and every scenario named there exists."""

from __future__ import annotations

import pytest

from harness.suite.catalogue import declared
from tests.contract.proof_tables import proofs, rows

_PAINS = rows("pains.md")
_REPORTED = 30
"""How many pains of distribution's proxy have been collected."""


def test_each_pain_has_a_row() -> None:
    numbers = [int(row[0]) for row in _PAINS if row[0].isdigit()]
    assert numbers == list(range(1, _REPORTED + 1))


@pytest.mark.parametrize("row", _PAINS, ids=lambda row: row[0][:40])
def test_a_row_names_scenarios_that_exist(row: list[str]) -> None:
    assert proofs(row)
    assert proofs(row) <= {scenario.id for scenario in declared()}


@pytest.mark.parametrize("row", _PAINS, ids=lambda row: row[0][:40])
def test_each_pain_says_where_it_was_reported(row: list[str]) -> None:
    assert row[-2]
    assert row[-3]
