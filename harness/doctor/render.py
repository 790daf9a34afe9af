"""The doctor's answers as text and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from harness.doctor.checks import Fingerprint
from harness.doctor.questions import Line

__all__ = ["as_json", "as_text"]

SCHEMA_VERSION = 1
_WIDTH = 96
_INDENT = "    "


def as_text(
    target: str, fingerprint: Fingerprint | None, lines: Sequence[Line], *, evidence: bool
) -> str:
    """Answers first, then questions without one; with *evidence*, the requests."""
    known = [line for line in lines if line.answer is not None]
    unknown = [line for line in lines if line.answer is None]
    text = [f"{target}: {_release(fingerprint)}", ""]
    for line in known:
        text += [f"{line.question} {line.answer}", *_wrapped(line.meaning)]
        if evidence:
            text += [f"{_INDENT}  {one}" for one in line.evidence]
    if unknown:
        text += ["", "Not answered:"]
        reasons: dict[str, list[str]] = {}
        for line in unknown:
            reasons.setdefault(line.meaning, []).append(line.question)
        for why, questions in reasons.items():
            text += [*(f"- {question}" for question in questions), *_wrapped(why)]
    return "\n".join(text) + "\n"


def as_json(target: str, fingerprint: Fingerprint | None, lines: Sequence[Line]) -> str:
    """One document; docs/doctor.md describes it."""
    document = {
        "schema": SCHEMA_VERSION,
        "target": target,
        "answers_like": None
        if fingerprint is None
        else {
            "best": fingerprint.best,
            "telling": fingerprint.distinguishing,
            "agreeing": dict(fingerprint.ranks),
        },
        "lines": [line.as_data() for line in lines],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _release(fingerprint: Fingerprint | None) -> str:
    if fingerprint is None or not fingerprint.distinguishing:
        return "release unknown"
    name, agreeing = fingerprint.ranks[0]
    if fingerprint.best is None:
        return f"matches no known release (closest: {name}, {_of(agreeing, fingerprint)})"
    return f"behaves like {fingerprint.best} ({_of(agreeing, fingerprint)})"


def _of(agreeing: int, fingerprint: Fingerprint) -> str:
    return f"{agreeing} of {fingerprint.distinguishing} distinguishing answers match"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
