"""No row is forgotten: each is proven for every release, or listed with a reason."""

from __future__ import annotations

import importlib
import re
import tomllib
from dataclasses import fields
from pathlib import Path

from reference_registry import profiles
from tests.contract.profiles.table import PROVEN

HERE = Path(__file__).parent
MOST_LISTED = 20


def titles() -> dict[str, str]:
    """The titles of all rows by their numbers."""
    sections = tomllib.loads((HERE / "rows.toml").read_text())
    return {
        f"{section}.{number}": title
        for section, entries in sections.items()
        for number, title in entries.items()
        if number != "about"
    }


def rows() -> set[str]:
    """The numbers of all rows."""
    return set(titles())


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


def test_rows_are_numbered_without_a_gap_and_titled() -> None:
    numbers = list(titles())
    sections = dict.fromkeys(number.partition(".")[0] for number in numbers)
    counts = [sum(number.startswith(f"{section}.") for number in numbers) for section in sections]
    expected = [f"{s}.{n}" for s, c in zip(sections, counts, strict=True) for n in range(1, c + 1)]
    assert numbers == expected
    assert list(sections) == [str(section) for section in range(25)]
    assert all(title.strip() for title in titles().values())


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


def test_no_behaviour_is_named_that_nobody_asks_for() -> None:
    code = "\n".join(
        path.read_text()
        for path in Path(profiles.__file__).parent.rglob("*.py")
        if path.name != "profiles.py"
    )
    unread = [
        field.name
        for field in fields(profiles.Profile)
        if not re.search(rf"\.{field.name}\b", code)
    ]
    assert unread == []
