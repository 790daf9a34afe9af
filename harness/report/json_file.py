"""``--pullproof-json FILE``: the matrix for programs, with the conversation of each failure."""

from __future__ import annotations

import json
from pathlib import Path

from harness.deviations import Verdict
from harness.results import Matrix

__all__ = ["SCHEMA_VERSION", "render_json", "write_json"]

SCHEMA_VERSION = 1
"""Raised whenever a reader of the previous version would misread the file."""


def render_json(matrix: Matrix) -> str:
    """The document: ``schema``, ``targets``, ``totals`` by target and verdict, and ``results``."""
    document = {
        "schema": SCHEMA_VERSION,
        "targets": list(matrix.targets),
        "totals": {
            target: {verdict.value: matrix.count(target, verdict) for verdict in Verdict}
            for target in matrix.targets
        },
        "results": [
            result.as_data() for _, cells in matrix.rows for _, result in sorted(cells.items())
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def write_json(matrix: Matrix, path: Path) -> None:
    """Write the document to *path*; ``OSError`` where that cannot be done."""
    path.write_text(render_json(matrix), encoding="utf-8")
