"""The answers that results of scenarios give, the guess of the release, and both as text."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.compare.data import from_data
from harness.doctor.questions import QUESTIONS, Line, Question
from harness.suite.deviations import DeviationFile, Verdict
from harness.suite.expectation import Finding
from harness.suite.results import Result

IDEAL = ("pullproof", "ideal")
"""The profile without deviations."""
_ENOUGH = 0.8
"""The share of distinguishing answers that has to match."""


@dataclass(frozen=True)
class Fingerprint:
    """How many of the *distinguishing* answers match each release, the best match first."""

    ranks: tuple[tuple[str, int], ...]
    distinguishing: int

    @property
    def best(self) -> str | None:
        """The releases with the most matches, or None if too few match."""
        if not self.ranks or self.ranks[0][1] < _ENOUGH * self.distinguishing:
            return None
        return " or ".join(name for name, agreeing in self.ranks if agreeing == self.ranks[0][1])


def fingerprint_of(results: Mapping[str, Sequence[Finding]], known: DeviationFile) -> Fingerprint:
    """The fingerprint of findings by scenario key. Answers that all releases share are ignored."""
    releases = {(d.implementation, version) for d in known.deviations for version in d.versions}
    sees_disk = any(one.side == "disk" for findings in results.values() for one in findings)
    agreeing = dict.fromkeys(sorted(releases | {IDEAL}), 0)
    distinguishing = 0
    for key, findings in results.items():
        agree = {
            release
            for release in agreeing
            if known.judge(
                key,
                findings,
                target="",
                implementation=release[0],
                version=release[1],
                sees_disk=sees_disk,
            ).verdict
            is not Verdict.FAILS
        }
        if len(agree) < len(agreeing):
            distinguishing += 1
            for release in agree:
                agreeing[release] += 1
    ranks = sorted(agreeing.items(), key=lambda item: (-item[1], item[0]))
    return Fingerprint(tuple((" ".join(name), number) for name, number in ranks), distinguishing)


_MOST_EVIDENCE = 6


def answers(cells: Iterable[Mapping[str, Any]]) -> list[Line]:
    """One line for each question."""
    by_key = {cell["key"]: cell for cell in cells}
    return [_answered(question, by_key.get(question.scenario)) for question in QUESTIONS]


def guess(cells: Iterable[Mapping[str, Any]], suite: Path) -> Fingerprint:
    """The release that behaves like this, by the deviations listed in *suite*."""
    found = {}
    for cell in cells:
        result = from_data(Result, {key: cell[key] for key in cell if key != "trace"})
        if result.findings:
            found[result.key] = result.findings
    return fingerprint_of(found, DeviationFile.beside(suite))


def _answered(question: Question, cell: Mapping[str, Any] | None) -> Line:
    if cell is None:
        return Line(question.id, question.text, None, "the scenario was not run")
    if not cell["findings"]:
        why = cell["reason"] or next(iter(cell["problems"]), "it ended early")
        if question.otherwise and "does not offer" in why:
            return Line(question.id, question.text, "no", question.otherwise, (why,))
        return Line(question.id, question.text, None, why)
    seen = {f"{one['side']}: {one['what']}": one["observed"] for one in cell["findings"]}
    try:
        answer, meaning = question.read(seen)
    except KeyError as missing:
        return Line(question.id, question.text, None, f"the scenario did not check {missing}")
    return Line(question.id, question.text, answer, meaning, _evidence(cell))


def _evidence(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """Requests of clients and requests upstream; repeated ones once, with their number."""
    events = (cell["trace"] or {}).get("events", [])
    shown: Counter[str] = Counter()
    for event in events:
        if event["kind"] in _SPEAKERS and "/v2/ " not in f"{event['line']} ":
            request = _DIGEST.sub(r"\1...", event["line"])
            status = event.get("status", "no answer")
            line = f"{_SPEAKERS[event['kind']]} {request} -> {status}"
            shown[line] += event.get("times", 1)
    lines = [line if times == 1 else f"{line} (x{times})" for line, times in shown.items()]
    more = len(lines) - _MOST_EVIDENCE
    rest = [f"and {more} more"] if more > 0 else []
    return (f"scenario {cell['key']}", *lines[:_MOST_EVIDENCE], *rest)


_SPEAKERS = {"client": "client:  ", "upstream": "upstream:"}
_DIGEST = re.compile(r"(sha256:.{12}).+$")
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
        "lines": [asdict(line) for line in lines],
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
