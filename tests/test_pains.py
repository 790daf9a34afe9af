"""docs/pains.md: every pain has a scenario that shows it, and every scenario named there exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DECLARED = ROOT / "docs" / "scenarios.md"
_REPORTED = 30
"""How many pains of distribution's proxy have been collected."""


def _rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "pains.md").read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return [row for row in cells if row[-1].startswith("`")]


def _proofs(row: list[str]) -> list[str]:
    return re.findall(r"`([a-z0-9.-]+)`", row[-1])


def test_each_pain_has_a_row_with_a_scenario() -> None:
    numbers = [int(row[0]) for row in _rows() if row[0].isdigit()]
    assert numbers == list(range(1, _REPORTED + 1))


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[0][:40])
def test_the_scenarios_of_a_row_exist(row: list[str]) -> None:
    declared = set(
        re.findall(
            r"^### `(.+)`$", (ROOT / "docs" / "scenarios.md").read_text("utf-8"), re.MULTILINE
        )
    )
    assert _proofs(row)
    assert set(_proofs(row)) <= declared


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[0][:40])
def test_each_pain_says_where_it_was_reported(row: list[str]) -> None:
    assert row[-2]
    assert row[-3]


def test_a_row_without_a_scenario_would_be_noticed() -> None:
    lines = (ROOT / "docs" / "pains.md").read_text(encoding="utf-8").splitlines()
    body = [line for line in lines if line[:1] == "|" and not line.startswith(("| # ", "|---"))]
    headings = [line for line in body if "| Scenarios |" in line]
    assert len(body) - len(headings) == len(_rows())
