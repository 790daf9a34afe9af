"""docs/conformance.md: each MUST of the specification is proven, or is nothing that a registry can
be asked; the stage of scenarios and the table are about the same."""

from __future__ import annotations

import pytest

from harness.suite.catalogue import declared
from harness.suite.scenario import MUST
from tests.contract.proof_tables import proofs, rows

_DEMANDS = rows("conformance.md")
_SCENARIOS = {scenario.id: scenario for scenario in declared()}
_STAGE = {name for name, scenario in _SCENARIOS.items() if scenario.theme == "conformance"}
_REASONS = {
    "for clients",
    "only one filter is specified",
    "all rows of this table",
    "all rows of the other tables",
}


def test_each_demand_has_a_unique_id() -> None:
    ids = [row[0] for row in _DEMANDS]
    assert len(ids) == len(set(ids)) > 80


@pytest.mark.parametrize("row", _DEMANDS, ids=lambda row: row[0].strip("`"))
def test_a_demand_is_proven_or_cannot_be_asked(row: list[str]) -> None:
    _, section, level, demand, proven = row
    assert section
    assert demand
    assert level in {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT"}
    if not proofs(row):
        assert proven in _REASONS
        return
    assert proofs(row) <= set(_SCENARIOS)
    stage = {_SCENARIOS[name].level for name in proofs(row) & _STAGE}
    assert MUST in stage if level.startswith("MUST") else stage


def test_each_scenario_of_the_stage_proves_a_demand() -> None:
    named = {name for row in _DEMANDS for name in proofs(row)}
    assert not _STAGE - named


def test_the_stage_is_asked_over_http_alone() -> None:
    """But for what only a configuration, or a storage from before, can show."""
    more = {
        name
        for name in _STAGE
        for need in _SCENARIOS[name].needs
        if need.name in {"CONFIG", "STORAGE"}
    }
    assert more == {"conformance.delete-disabled", "conformance.referrers-from-before"}
