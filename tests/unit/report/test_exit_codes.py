"""docs/exit-codes.md, line by line, for pytest and for ``pullproof run``."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from tests.unit.report.examples import DEVIATION, HOLDS, NOT_OFFERED, PULLS, WRONG, run


def test_pytest_0_as_expected(pytester: pytest.Pytester) -> None:
    (pytester.path / "deviations.toml").write_text(DEVIATION)
    source = HOLDS + WRONG + NOT_OFFERED
    assert run(pytester, source, "--target", "reference@2.8").ret == 0


def test_pytest_1_a_scenario_fails(pytester: pytest.Pytester) -> None:
    assert run(pytester, HOLDS + WRONG).ret == 1


def test_pytest_1_a_listed_deviation_no_longer_happens(pytester: pytest.Pytester) -> None:
    (pytester.path / "deviations.toml").write_text(DEVIATION.replace("= 200", "= 201"))
    assert run(pytester, WRONG, "--target", "reference@2.8").ret == 1


@pytest.mark.parametrize("workers", ["0", "2"])
def test_pytest_1_a_difference_is_unexplained(pytester: pytest.Pytester, workers: str) -> None:
    compared = ("--target", "reference@2.8", "--baseline", "reference", "-n", workers)
    ended = run(pytester, PULLS, *compared)
    ended.assert_outcomes(passed=2)
    assert ended.ret == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--target", "nonsense"),
        ("--target", "binary:/no/such/registry"),
        ("--target", "reference", "--target", "reference@ideal"),
        ("--pullproof-html", "/no/such/directory/report.html"),
        ("--pullproof-slowest", "-1"),
        ("--pullproof-level", "nonsense"),
        ("--pullproof-scenario", "none.*"),
    ],
    ids=["kind", "binary", "twice", "file", "number", "level", "scenario"],
)
def test_pytest_2_misuse(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    ended = run(pytester, HOLDS, *arguments)
    assert ended.ret == 2
    assert "Traceback" not in ended.stdout.str() + ended.stderr.str()


def pullproof_run(place: Path, *arguments: str) -> int:
    command = [sys.executable, "-m", "harness", "run", "-n", "0", *arguments]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=120, cwd=place)
    assert b"Traceback" not in ended.stdout + ended.stderr
    return ended.returncode


@pytest.mark.parametrize(
    "arguments",
    [
        ("-t", "nonsense"),
        ("-s", "none.*"),
        ("--level", "nonsense"),
        ("--html", "/no/such/directory/report.html"),
        ("--", "--no-such-option"),
    ],
    ids=["target", "nothing", "level", "file", "pytest"],
)
def test_run_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert pullproof_run(tmp_path, *arguments) == 2


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["run"], ["report"]):
        assert main([*command, "--help"]) == 0
        assert "Exit codes: 0 " in capsys.readouterr().out
