"""The containerd model against every measured case, release by release.

``--containerd-cases FILE`` runs another file of the same format.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.models.containerd_cases import Case, differences, pulls, read_cases

NOT_MODELLED: dict[tuple[str, str], str] = {}
"""(group, release) and the reason why it is left out."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    file: Path = metafunc.config.getoption("containerd_cases")
    beside = (file.with_name("proven-cases.json"),) if file.name == "cases.json" else ()
    cases = [case for each in (file, *beside) if each.exists() for case in read_cases(each)]
    metafunc.parametrize(
        ("case", "release"),
        [
            pytest.param(case, release, id=f"{case.id}-{release}")
            for case in cases
            for release in case.releases
            if (case.group, release) not in NOT_MODELLED
        ],
    )


def test_the_model_matches_the_measurement(case: Case, release: str) -> None:
    world = case.world
    found = [differences(case, release, pull, world) for pull in pulls(case, release, world)]
    assert [] in found, "\n".join(found[0])
