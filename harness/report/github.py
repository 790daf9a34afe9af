"""Annotations that GitHub Actions shows at the line of the scenario that failed.

A workflow command is a line of output (GitHub docs: Workflow commands for GitHub Actions). Texts
are escaped as in ``@actions/core``, so that nothing a target says can be a command itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.suite.deviations import Verdict
from harness.suite.results import Incomplete


def annotate(document: Mapping[str, Any], *, root: Path, workspace: Path) -> Iterator[str]:
    """One line for each failure, each flaky cell and each scenario with an unexplained difference.
    The files of scenarios are relative to *root*; those within *workspace* are named."""
    if document["incomplete"]:
        incomplete = Incomplete(**document["incomplete"])
        yield annotation("error", "the run ended early", {"title": str(incomplete)})
    places = {one["key"]: _place(one, root, workspace) for one in document["scenarios"]}

    def found(title: str, lines: list[str], key: str = "", level: str = "error") -> str:
        return annotation(level, "\n".join(lines), {**places.get(key, {}), "title": title})

    for one in document["results"]:
        key, target = one["key"], one["target"]
        if one["verdict"] == Verdict.FAILS.value:
            yield found(f"{key} fails on {target}", [one["claim"], *one["problems"]], key)
        elif one["earlier"]:
            lines = [f"{one['verdict']} when run again", *one["earlier"]]
            yield found(f"FLAKY: {key} on {target}", lines, key, "warning")
    for line in document["unequal"]:
        yield found("MISMATCH", [line], line.partition(": ")[0])
    differential = document["differential"] or {"comparisons": (), "stale": ()}
    for comparison in differential["comparisons"]:
        key, left, right = (comparison[name] for name in ("scenario", "left", "right"))
        lines = [
            f"{one['step']}: {one['field']}: {left} {one['left']}, {right} {one['right']}"
            for one in comparison["unexplained"][:5]
        ]
        if lines:
            yield found(f"{key} differs between {left} and {right}", lines, key)
    for line in differential["stale"]:
        yield found("divergences.toml is stale", [line])


def _place(about: Mapping[str, Any], root: Path, workspace: Path) -> dict[str, str]:
    path = (root / about["file"]).resolve()
    if not about["file"] or not path.is_relative_to(workspace.resolve()):
        return {}
    file = path.relative_to(workspace.resolve()).as_posix()
    return {"file": file, "line": str(max(1, about["line"]))}


def annotation(level: str, text: str, values: Mapping[str, str]) -> str:
    """A workflow command that shows *text* at the place that *values* name: ``file``, ``line``,
    ``col``, ``title``. *level* is ``error``, ``warning`` or ``notice``."""
    listed = ",".join(f"{name}={_property(value)}" for name, value in values.items())
    return f"::{level} {listed}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
