"""docs/lint.md is what the rules and their examples say."""

from __future__ import annotations

from tests.unit.lint.catalogue import PAGE, rendered


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == rendered(), "make docs"
