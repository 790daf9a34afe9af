"""Tables of the documentation whose last column names scenarios."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def rows(page: str) -> list[list[str]]:
    """The cells of every row of *page*, a file of ``docs/``, without headings."""
    tables = re.findall(
        r"^\|.*\n\|---.*\n((?:\|.*\n)+)", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE
    )
    lines = "".join(tables).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def proofs(row: list[str]) -> set[str]:
    """The scenarios that *row* names."""
    return set(re.findall(r"`([a-z0-9.-]+)`", row[-1]))
