"""The results as Markdown, for a job's summary, a pull request or an issue.

Texts that come from targets may be hostile: they are in code spans or blocks whose fences are
longer than any within.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.suite.deviations import Deviation, Verdict
from harness.suite.results import MODEL, Incomplete
from harness.suite.scenario import Scenario

MOST_FAILURES = 20
"""Failures shown in full; GitHub limits a summary to 1 MiB."""
_MOST_CONVERSATION = 6000
_MOST_DIVERGENCES = 50
_SIGNS = {
    Verdict.HOLDS.value: "✅ holds",
    Verdict.DEVIATES.value: "⚠️ deviates",
    Verdict.FAILS.value: "❌ fails",
    Verdict.NOT_APPLICABLE.value: "➖ n/a",
}


def render_markdown(document: Mapping[str, Any]) -> str:
    """The text about *document* (:mod:`harness.report.document`)."""
    results = document["results"]
    parts = [
        [f"## pullproof: {_headline(results, document)}"],
        _totals(document),
        _failures([one for one in results if one["verdict"] == Verdict.FAILS.value]),
        _listed("Flaky: failed, then passed when run again", _flaky(results)),
        _listed("Targets of one release that do not match", document["unequal"]),
        _differential(document["differential"]),
        _deviations(results),
    ]
    return "\n\n".join(block for part in parts for block in part) + "\n"


def _headline(results: Iterable[Mapping[str, Any]], document: Mapping[str, Any]) -> str:
    failed = sum(one["verdict"] == Verdict.FAILS.value for one in results)
    differs = document["differential"] or {"comparisons": (), "stale": ()}
    unexplained = sum(len(one["unexplained"]) for one in differs["comparisons"])
    incomplete = document["incomplete"]
    problems = [str(Incomplete(**incomplete))] if incomplete else []
    problems += [
        f"{count} {words}"
        for count, words in (
            (failed, "failed"),
            (len(document["unequal"]), "mismatched"),
            (unexplained, "differences unexplained"),
            (len(differs["stale"]), "entries stale"),
        )
        if count
    ]
    flaky = len(_flaky(results))
    problems = problems or ["all as expected"]
    return ", ".join([*problems, *([f"{flaky} FLAKY"] if flaky else [])])


def _flaky(results: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"{one['key']} on {one['target']}: {one['verdict']}; {'; '.join(one['earlier'])}"
        for one in results
        if one["earlier"] and one["verdict"] != Verdict.FAILS.value
    ]


def _totals(document: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for target, counts in document["totals"].items():
        kind = " (client model, no registry involved)" if target == MODEL else ""
        cells = (str(counts[verdict]) for verdict in _SIGNS)
        rows.append((f"{code_span(target, in_table=True)}{kind}", *cells))
    yield _table(("target", *_SIGNS.values()), rows, "---:")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---") -> str:
    lines = [heads, ["---", *[align] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _failures(failed: list[Mapping[str, Any]]) -> Iterator[str]:
    if failed:
        yield "### Failures"
    for one in failed[:MOST_FAILURES]:
        yield f"#### {code_span(one['key'])} on {code_span(one['target'])}"
        yield f"**{one['level']}** {_plain(one['claim'])}"
        yield "\n".join(f"- {code_span(problem)}" for problem in one["problems"])
        if one["conversation"]:
            yield "<details><summary>Requests, answers and logs</summary>"
            yield code_block(one["conversation"][:_MOST_CONVERSATION])
            yield "</details>"
    if len(failed) > MOST_FAILURES:
        yield f"... and {len(failed) - MOST_FAILURES} more."


def _listed(title: str, lines: Iterable[str]) -> list[str]:
    items = [f"- {code_span(line)}" for line in lines]
    return [f"### {title}", "\n".join(items)] if items else []


def _differential(differential: Mapping[str, Any] | None) -> Iterator[str]:
    if differential is None:
        return
    found = [
        (comparison, divergence)
        for comparison in differential["comparisons"]
        for divergence in comparison["unexplained"]
    ]
    explained = sum(len(one["explained"]) for one in differential["comparisons"])
    yield f"### Compared with {code_span(differential['baseline'])}"
    yield (
        f"{len(differential['comparisons'])} scenarios compared: {explained} differences "
        f"explained, {len(found)} unexplained."
    )
    if found:
        rows = [
            (one["scenario"], f"{it['step']}: {it['field']}", str(it["left"]), str(it["right"]))
            for one, it in found[:_MOST_DIVERGENCES]
        ]
        cells = [[code_span(cell, in_table=True) for cell in row] for row in rows]
        yield _table(("scenario", "where", "shows", "baseline"), cells)
        if len(found) > _MOST_DIVERGENCES:
            yield f"... and {len(found) - _MOST_DIVERGENCES} more."
    if differential["stale"]:
        yield "\n".join(f"- {code_span(line)}" for line in differential["stale"])


def _deviations(results: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Each known deviation once, with the targets that show it."""
    seen: dict[tuple[str, str, str], list[str]] = {}
    for one in results:
        if one["verdict"] == Verdict.DEVIATES.value:
            place = (code_span(one["key"], in_table=True), one["does"], one["reference"])
            seen.setdefault(place, []).append(code_span(one["target"], in_table=True))
    if not seen:
        return
    yield f"<details><summary>{len(seen)} known deviations</summary>"
    yield _table(
        ("scenario", "targets", "what they do", "reference"),
        [
            (key, ", ".join(targets), _plain(does), _plain(reference))
            for (key, does, reference), targets in seen.items()
        ],
    )
    yield "</details>"


def _plain(text: str) -> str:
    """*text* without Markdown of its own."""
    return re.sub(r"([\\`*_{}\[\]<>|~&])", r"\\\1", " ".join(text.split()))


def code_span(text: str, *, in_table: bool = False) -> str:
    """*text* in one line as code; the fence is longer than any within it (CommonMark, 6.1)."""
    line = " ".join(text.split()) or " "
    if in_table:
        line = line.replace("|", "\\|")  # GFM, 4.10: within code too
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def code_block(text: str) -> str:
    """*text* as a block of code that it cannot end (CommonMark, 4.5)."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


_HEAD = """\
# Scenarios

Generated by `make docs` from the scenarios and their deviations; a test fails when it is
stale. `d#N` is an issue of distribution/distribution. **MUST** comes from a specification,
**SHOULD** from what a cache owes its users, **INFO** is something that an operator has to know.
"""


def render_catalogue(scenarios: Iterable[Scenario], deviations: Sequence[Deviation]) -> str:
    """The page: a section for each theme, an entry for each scenario, sorted by id."""
    ordered = sorted(scenarios, key=lambda s: s.id)
    lines = [_HEAD, f"{len(ordered)} scenarios.", ""]
    theme = ""
    for scenario in ordered:
        if scenario.theme != theme:
            theme = scenario.theme
            lines += [f"## {theme}", ""]
        lines += [f"### `{scenario.id}`", "", f"**{scenario.level.value}** {scenario.claim}.", ""]
        if scenario.why:
            lines += [scenario.why, ""]
        lines += [f"References: {'; '.join(scenario.refs)}.", ""]
        known = [
            f"- Known deviation: {d.implementation} {', '.join(d.versions)} {d.does} "
            f"({d.reference})."
            for d in deviations
            if d.scenario == scenario.id or _is_case(d, scenario)
        ]
        if known:
            lines += dict.fromkeys(known)  # Cases that deviate in the same way are one line.
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _is_case(deviation: Deviation, scenario: Scenario) -> bool:
    return deviation.scenario.startswith(f"{scenario.id}[")
