"""The containerd model against a real containerd, request by request.

``--containerd BINARY`` names another one, ``--containerd-generated N --seed S`` makes up other
cases, ``--containerd-all`` plays every measured case of its release; see docs/client-models.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from harness.system.real_parts import real_part
from tests.real.containerd_lab import ContainerdLab
from tests.real.containerd_stories import stories
from tests.real.made_up import play_made_up
from tests.unit.models.containerd_cases import Case, read_cases

_FIXTURES = Path(__file__).parents[2] / "fixtures" / "containerd"
_SAMPLE = 4
"""Every so-manieth measured case is played unless all are asked for."""


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[ContainerdLab]:
    program = request.config.getoption("containerd") or real_part("containerd")
    # The path of a socket must be short.
    with TemporaryDirectory(prefix="ctd-") as directory:
        lab = ContainerdLab(Path(directory), program.resolve())
        try:
            yield lab
        finally:
            lab.stop()


def test_what_was_measured_is_measured_again(
    lab: ContainerdLab, request: pytest.FixtureRequest
) -> None:
    """The cases of the data file, played to this daemon: it does what the model says, which does
    what was measured."""
    cases = [
        case
        for case in read_cases(request.config.getoption("containerd_cases"))
        if lab.release in case.releases
    ]
    if not request.config.getoption("containerd_all"):
        cases = cases[::_SAMPLE]
    if not cases:
        pytest.skip(f"nothing was measured on containerd {lab.release}")
    failures = {}
    for case in cases:
        found, _ = lab.difference(case)
        if found:
            failures[case.id] = found
    assert not failures, json.dumps(failures, indent=1)


def test_what_is_made_up_goes_as_the_model_says(
    lab: ContainerdLab, request: pytest.FixtureRequest, record_property: Any
) -> None:
    """Random files, hosts, credentials and pullers; a difference shrinks to its simplest story."""
    count: int = request.config.getoption("containerd_generated")
    seed: int = request.config.getoption("seed")
    record_property("containerd", lab.release)
    record_property("seed", seed)
    recorded: list[dict[str, Any]] = []

    def play(story: dict[str, Any]) -> None:
        found, measured = lab.difference(Case(story, "generated"))
        identity = f"X{seed}-{len(recorded)}"
        recorded.append({"id": identity, **story, "expect": {lab.release: measured}})
        assert not found, _told(story, measured, found, lab.release, seed)

    try:
        play_made_up(stories(), play, count=count, seed=seed)
    finally:
        file: Path | None = request.config.getoption("record")
        if file is not None:
            file.write_text(json.dumps({"cases": recorded}, indent=1))
    sys.stdout.write(f"{len(recorded)} cases of seed {seed} on containerd {lab.release}\n")
    assert len(recorded) >= count


def _told(
    story: dict[str, Any], measured: dict[str, Any], found: list[str], release: str, seed: int
) -> str:
    """All that is needed to see it again."""
    files = "".join(f"--- {path}\n{text}" for path, text in story["files"].items())
    case = json.dumps({"id": "difference", **story, "expect": {release: measured}}, indent=1)
    lines = "\n".join(f"  {line}" for line in found)
    return (
        f"model and containerd {release} differ (seed {seed}):\n{lines}\n{files}"
        f"As a case for --containerd-cases: {case}"
    )
