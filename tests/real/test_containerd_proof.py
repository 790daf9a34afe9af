"""The containerd model against a real containerd, request by request.

``--containerd BINARY`` tests another release, ``--containerd-generated N --seed S`` generates other
cases, ``--containerd-all`` runs every measured case of the release; see docs/client-models.md.
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
from tests.real.containerd_generated import cases
from tests.real.containerd_lab import ContainerdLab
from tests.real.labs import run_generated
from tests.unit.models.containerd_cases import Case, read_cases

_FIXTURES = Path(__file__).parents[2] / "fixtures" / "containerd"
_SAMPLE = 4
"""Every fourth measured case runs unless ``--containerd-all`` is given."""


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


def test_measured_cases_match_the_model(lab: ContainerdLab, request: pytest.FixtureRequest) -> None:
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


def test_generated_cases_match_the_model(
    lab: ContainerdLab, request: pytest.FixtureRequest
) -> None:
    """Random files, hosts, credentials and clients; a difference shrinks to its simplest case."""
    count: int = request.config.getoption("containerd_generated")
    seed: int = request.config.getoption("seed")
    recorded: list[dict[str, Any]] = []

    def check(case: dict[str, Any]) -> None:
        found, measured = lab.difference(Case(case, "generated"))
        identity = f"X{seed}-{len(recorded)}"
        recorded.append({"id": identity, **case, "expect": {lab.release: measured}})
        files = "".join(f"--- {path}\n{text}" for path, text in case["files"].items())
        assert not found, (
            f"model and containerd {lab.release} differ (seed {seed}):\n{found}\n{files}"
            f"As a case for --containerd-cases: {json.dumps(recorded[-1], indent=1)}"
        )

    try:
        run_generated(cases(), check, count=count, seed=seed)
    finally:
        file: Path | None = request.config.getoption("record")
        if file is not None:
            file.write_text(json.dumps({"cases": recorded}, indent=1))
    sys.stdout.write(f"{len(recorded)} cases of seed {seed} on containerd {lab.release}\n")
    assert len(recorded) >= count
