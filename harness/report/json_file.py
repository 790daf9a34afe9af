"""``--pullproof-json FILE``: the matrix for programs, with the conversation of each failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.deviations import Verdict
from harness.report.differences import comparison_to_data
from harness.report.observed import Differential
from harness.results import Matrix

__all__ = ["SCHEMA_VERSION", "render_json", "write_json"]

SCHEMA_VERSION = 1
"""Raised whenever a reader of the previous version would misread the file."""


def render_json(matrix: Matrix, differential: Differential | None = None) -> str:
    """The document: ``schema``, ``targets``, ``totals`` by target and verdict, ``results``, and
    ``differential`` (null without a baseline)."""
    document: dict[str, Any] = {
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
    document["differential"] = differential and {
        "baseline": differential.baseline.name,
        "comparisons": [comparison_to_data(one) for one in differential.comparisons],
        "stale": differential.stale,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def write_json(matrix: Matrix, path: Path, differential: Differential | None = None) -> None:
    """Write the document to *path*; ``OSError`` where that cannot be done."""
    path.write_text(render_json(matrix, differential), encoding="utf-8")
