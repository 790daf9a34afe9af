"""No row is forgotten: each is proven for every release, or listed with a reason."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

from tests.profiles.table import PROVEN

HERE = Path(__file__).parent
MOST_LISTED = 20


def rows() -> set[str]:
    """The numbers of all rows."""
    sections = tomllib.loads((HERE / "rows.toml").read_text())["sections"]
    return {
        f"{section}.{number}"
        for section, entry in sections.items()
        for number in range(1, entry["rows"] + 1)
    }


def listed() -> dict[str, str]:
    """The rows that are not imitated, and why."""
    return _listed("row")


def listed_parts() -> dict[str, str]:
    """The rows of which a part is not imitated, and why."""
    return _listed("part")


def _listed(table: str) -> dict[str, str]:
    entries = tomllib.loads((HERE / "not_imitated.toml").read_text())[table]
    return {entry["number"]: entry["reason"] for entry in entries}


def proven() -> set[str]:
    """The rows that tests of this directory name."""
    for module in HERE.glob("test_[0-9]*.py"):
        importlib.import_module(f"{__package__}.{module.stem}")
    return set(PROVEN)


def test_each_row_is_proven_or_listed() -> None:
    missing = rows() - proven() - listed().keys()
    assert sorted(missing, key=_in_order) == []


def test_no_test_names_a_row_that_does_not_exist() -> None:
    assert proven() - rows() == set()


def test_nothing_is_both_proven_and_listed() -> None:
    assert proven() & listed().keys() == set()


def test_few_rows_are_listed_and_each_with_a_reason() -> None:
    assert len(listed()) + len(listed_parts()) <= MOST_LISTED
    assert listed().keys() <= rows()
    assert all(reason.strip() for reason in [*listed().values(), *listed_parts().values()])


def test_the_rest_of_a_row_with_a_listed_part_is_proven() -> None:
    assert listed_parts().keys() <= proven()


def _in_order(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in number.split("."))
