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

__all__ = ["annotate", "annotation"]


def annotate(document: Mapping[str, Any], *, root: Path, workspace: Path) -> Iterator[str]:
    """One line for each failure, each flaky cell and each scenario with an unexplained difference.
    The files of scenarios are relative to *root*; those within *workspace* are named."""
    if document["incomplete"]:
        incomplete = Incomplete(**document["incomplete"])
        yield annotation("error", "the run ended early", {"title": str(incomplete)})
    places = {one["key"]: _place(one, root, workspace) for one in document["scenarios"]}
    for one in document["results"]:
        if one["verdict"] == Verdict.FAILS.value:
            text = "\n".join([one["claim"], *one["problems"]])
            yield _error(f"{one['key']} fails on {one['target']}", text, places.get(one["key"]))
        elif one["earlier"]:
            title, place = f"FLAKY: {one['key']} on {one['target']}", places.get(one["key"])
            text = "\n".join([f"{one['verdict']} when run again", *one["earlier"]])
            yield _annotation("warning", title, text, place)
    for line in document["unequal"]:
        yield _error("MISMATCH", line, places.get(line.partition(": ")[0]))
    differential = document["differential"] or {"comparisons": (), "stale": ()}
    for comparison in differential["comparisons"]:
        if found := comparison["unexplained"]:
            left, right = comparison["left"], comparison["right"]
            key = comparison["scenario"]
            text = "\n".join(
                f"{one['step']}: {one['field']}: {left} {one['left']}, {right} {one['right']}"
                for one in found[:5]
            )
            yield _error(f"{key} differs between {left} and {right}", text, places.get(key))
    for line in differential["stale"]:
        yield _error("divergences.toml is stale", line, None)


def _place(about: Mapping[str, Any], root: Path, workspace: Path) -> tuple[str, int] | None:
    try:
        path = (root / about["file"]).resolve().relative_to(workspace.resolve())
    except ValueError:
        return None
    return (path.as_posix(), about["line"]) if about["file"] else None


def _error(title: str, text: str, place: tuple[str, int] | None) -> str:
    return _annotation("error", title, text, place)


def _annotation(level: str, title: str, text: str, place: tuple[str, int] | None) -> str:
    values = {"file": place[0], "line": str(max(1, place[1]))} if place else {}
    return annotation(level, text, {**values, "title": title})


def annotation(level: str, text: str, values: Mapping[str, str]) -> str:
    """A workflow command that shows *text* at the place that *values* name: ``file``, ``line``,
    ``col``, ``title``. *level* is ``error``, ``warning`` or ``notice``."""
    listed = ",".join(f"{name}={_property(value)}" for name, value in values.items())
    return f"::{level} {listed}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
