"""The doctor's answers for a terminal, and as JSON."""

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
    target: str, likeness: Fingerprint | None, lines: Sequence[Line], *, evidence: bool
) -> str:
    """Answers first, then what could not be asked; *evidence* shows the requests."""
    known = [line for line in lines if line.answer is not None]
    unknown = [line for line in lines if line.answer is None]
    told = [f"{target}: {_like(likeness)}", ""]
    for line in known:
        told += [f"{line.question} {line.answer}", *_wrapped(line.meaning)]
        if evidence:
            told += [f"{_INDENT}  {one}" for one in line.evidence]
    if unknown:
        told += ["", "Not asked:"]
        reasons: dict[str, list[str]] = {}
        for line in unknown:
            reasons.setdefault(line.meaning, []).append(line.question)
        for why, questions in reasons.items():
            told += [*(f"- {question}" for question in questions), *_wrapped(why)]
    return "\n".join(told) + "\n"


def as_json(target: str, likeness: Fingerprint | None, lines: Sequence[Line]) -> str:
    """One document; docs/doctor.md says what stands in it."""
    document = {
        "schema": SCHEMA_VERSION,
        "target": target,
        "answers_like": None
        if likeness is None
        else {
            "best": likeness.best,
            "telling": likeness.telling,
            "agreeing": dict(likeness.ranks),
        },
        "lines": [line.as_data() for line in lines],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _like(likeness: Fingerprint | None) -> str:
    if likeness is None or not likeness.telling:
        return "its release cannot be told"
    name, agreeing = likeness.ranks[0]
    if likeness.best is None:
        return f"like no release that is known here (nearest: {name}, {_of(agreeing, likeness)})"
    return f"answers like {likeness.best} ({_of(agreeing, likeness)})"


def _of(agreeing: int, likeness: Fingerprint) -> str:
    return f"{agreeing} of the {likeness.telling} answers that tell releases apart"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
