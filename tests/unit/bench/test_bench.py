"""``python -m bench`` as a process, and registries that fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from bench.__main__ import main, take
from bench.client import CannotMeasure
from bench.measures import Bench, Measure, Row, Workspace
from bench.registries import MeasuredRegistry


def test_it_measures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    words = ["--quick", "--registry", "pullproof", "--only", "start-up", "--only", "cold-blob"]
    run = subprocess.run(
        [sys.executable, "-m", "bench", *words, "--json", file, "--directory", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    lines = json.loads(file.read_text())["lines"]
    assert [(line["measure"], line["unit"], line["better"]) for line in lines] == [
        ("start-up", "s", "less"),
        ("cold-blob", "MB/s", "more"),
    ]
    # Without docker-registry in the run there is no ratio.
    assert [list(line["registries"]["pullproof"]) for line in lines] == [["value"], ["value"]]
    assert all(line["registries"]["pullproof"]["value"] > 0 for line in lines)
    for line in lines:
        assert line["title"] in run.stdout
    assert list(tmp_path.iterdir()) == [file]  # the caches are gone


def test_unknown_registry(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--registry", "nothing"])
    assert ended.value.code == 2
    assert "no registry 'nothing' here; there are pullproof" in capsys.readouterr().err


def _take(
    figure: Callable[[str, int], float], *, warm_ups: int = 0
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The cells of two registries whose n-th figure is *figure*, and the order of measurement."""
    asked: list[str] = []

    def measure(place: Workspace) -> tuple[float, ...]:
        name = place.registry.name
        asked.append(name)
        return (figure(name, asked.count(name)),)

    names = ("docker-registry", "other")
    places = [Workspace(cast("Bench", None), MeasuredRegistry(name, ())) for name in names]
    rows = (Row("a row", "s", "less"),)
    ((_, cells),) = take(Measure("a", measure, rows, warm_ups=warm_ups), places, 3)
    return cells, asked


def test_medians_in_turn() -> None:
    figures = {"docker-registry": [2.0, 90.0, 4.0], "other": [8.0, 1.0, 10.0]}
    cells, asked = _take(lambda name, n: figures[name][n - 1])
    assert asked == ["docker-registry", "other"] * 3
    assert cells == {
        "docker-registry": {"value": 4.0, "ratio": 1.0},
        "other": {"value": 8.0, "ratio": 2.0},
    }


def test_warm_ups_do_not_count() -> None:
    cells, asked = _take(lambda name, n: float(n), warm_ups=2)
    assert asked == ["docker-registry", "other"] * 5
    assert {cell["value"] for cell in cells.values()} == {4.0}


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (CannotMeasure("502 for /v2/"), "502 for /v2/"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_a_failure_does_not_affect_other_registries(problem: Exception, reason: str) -> None:
    def figure(name: str, n: int) -> float:
        if name == "docker-registry" and n == 2:
            raise problem
        return 8.0

    cells, asked = _take(figure)
    assert cells == {"docker-registry": {"reason": reason}, "other": {"value": 8.0}}
    assert asked == ["docker-registry", "other"] * 2 + ["other"]
