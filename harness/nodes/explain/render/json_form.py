"""JSON, whose shape docs/explain.md describes."""

from __future__ import annotations

import json
from dataclasses import asdict

from harness.nodes.explain.explanation import Explanation

__all__ = ["VERSION", "render"]

VERSION = 1
"""Grows where a key changes its meaning or goes; new keys may come at any time."""


def render(explanation: Explanation) -> str:
    """The explanation as one JSON object."""
    document = {
        "pullproof_explain": VERSION,
        "outcome": "ok" if explanation.error is None else "error",
        "error": explanation.error,
        **asdict(explanation),
    }
    return json.dumps(document, indent=1) + "\n"
