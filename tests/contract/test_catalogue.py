"""The scenarios as a whole: their catalogue is fresh, and what is listed about them exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.suite.deviations import DeviationFile

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page as ``make docs`` would write it now."""
    page = tmp_path_factory.mktemp("catalogue") / "scenarios.md"
    command = [sys.executable, "-m", "pytest", "scenarios", "--collect-only", "-q"]
    subprocess.run(
        [*command, "-p", "no:cacheprovider", "--pullproof-catalogue", str(page)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return page.read_text(encoding="utf-8")


def test_the_catalogue_in_the_docs_is_fresh(catalogue: str) -> None:
    committed = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    assert committed == catalogue, "run `make docs`"


def test_no_scenario_sleeps() -> None:
    """A scenario waits for conditions; time passes by the clock of its target."""
    sleeping = re.compile(r"\bsleep\(|import sleep")
    places = [
        path for path in (ROOT / "scenarios").glob("*.py") if sleeping.search(path.read_text())
    ]
    assert places == []


def test_listed_deviations_name_existing_scenarios(catalogue: str) -> None:
    listed = DeviationFile.beside(ROOT / "scenarios")
    known = {line[5:-1] for line in catalogue.splitlines() if line.startswith("### `")}
    keys = {one.scenario for one in listed.deviations} | {
        one.scenario for one in listed.differences
    }
    named = {key.partition("[")[0] for key in keys}
    assert named
    assert named <= known


def test_every_deviation_has_a_description_and_a_reference() -> None:
    for entry in DeviationFile.beside(ROOT / "scenarios").deviations:
        assert entry.does.strip(), entry.scenario
        assert entry.reference.strip(), entry.scenario
        assert entry.observed, entry.scenario
