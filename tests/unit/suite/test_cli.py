"""The ``pullproof`` command; ``upstream`` is tested with the mock upstream."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from harness import cli
from harness.cli import main
from harness.suite.catalogue import Selection, declared
from harness.suite.scenario import MUST, Need


def pullproof(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=cwd
    )


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for command in ("compare", "completion", "list", "run", "upstream"):
        assert re.search(rf"^  {command}  +\w", printed, re.MULTILINE), command
        assert main([command, "--help"]) == 0


def test_list_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"{len(lines)} scenarios"
    assert len(lines) == len(declared()) >= 250


def test_list_chooses(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--theme", "ttl", "--level", "should", "--need", "state-file", "--format", "json"]
    assert main(["list", *arguments]) == 0
    chosen = json.loads(capsys.readouterr().out)
    assert chosen
    for scenario in chosen:
        assert (scenario["theme"], scenario["level"]) == ("ttl", "SHOULD")
        assert "state-file" in scenario["needs"]


@pytest.mark.parametrize("command", [["list"], ["run"], ["compare", "reference", "drayage"]])
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--scenario", "ttl.confgured"), "unknown scenario 'ttl.confgured'; did you mean 'ttl.c"),
        (("--scenario", "nonsense.*"), "unknown scenario 'nonsense.*'; see pullproof list"),
        (("--theme", "tll"), "unknown theme 'tll'; did you mean 'ttl'?"),
        (("--level", "mst"), "unknown level 'mst'; did you mean 'must'?"),
        (("--need", "clok"), "unknown need 'clok'; did you mean 'clock'?"),
    ],
)
def test_a_wrong_choice_is_misuse(
    command: list[str], words: tuple[str, str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line


def test_a_wrong_command_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lnt"]) == 2
    assert "unknown command 'lnt'; did you mean 'lint'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("run --theme tt", "ttl"),
        ("run -s ttl.conf", "ttl.configured"),
        ("run -t reference@2", "reference@2.8"),
        ("compare ref", "reference"),
    ],
)
def test_the_shell_completes(typed: str, offered: str) -> None:
    words = {"COMP_WORDS": f"pullproof {typed}", "COMP_CWORD": str(len(typed.split()))}
    ended = subprocess.run(
        [sys.executable, "-m", "harness"],
        env={**os.environ, **words, "_PULLPROOF_COMPLETE": "bash_complete"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert f"plain,{offered}" in ended.stdout.splitlines()


def test_a_selection_needs_all_its_fields() -> None:
    (scenario,) = [one for one in declared() if one.id == "ttl.hits-do-not-extend"]
    assert Selection.of(["ttl.*"], ["ttl"]).chooses(scenario)
    assert not Selection.of(["ttl.*"], ["blob"]).chooses(scenario)
    assert not Selection(levels=(MUST,)).chooses(scenario)
    assert not Selection(needs=(Need.GC,)).chooses(scenario)
    with pytest.raises(ValueError, match="unknown need 'clok'; did you mean 'clock'"):
        Selection.of(needs=["clok"])


def test_run_ignores_the_pytest_settings_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    chosen = [
        "--scenario",
        "tags.pages-for-clients",
        "--scenario",
        "push.upload-refused",
    ]
    ended = pullproof("run", *chosen, "--json", "out.json", "-n", "0", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "push.upload-refused" in (tmp_path / "out.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "pytest.ini"]


def test_a_target_does_not_differ_from_its_recording(tmp_path: Path) -> None:
    chosen = ["--scenario", "push.upload-refused", "-n", "0"]
    kept = pullproof("run", "-t", "reference@2.8", *chosen, "--record", "kept", cwd=tmp_path)
    assert kept.returncode == 0, kept.stdout
    recording = "recording:kept/reference@2.8.json"
    ended = pullproof("compare", "reference@2.8", recording, *chosen, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.startswith("2 scenarios compared: 0 divergences explained, 0 unexplained")


@pytest.mark.parametrize("form", ["text", "markdown", "html", "json"])
def test_a_comparison_of_releases(form: str, tmp_path: Path) -> None:
    chosen = ["--scenario", "tags.exact-page-ends-the-list", "-n", "0", "--format", form]
    page = tmp_path / "page"
    ended = pullproof("compare", "reference@3.0", "reference@3.1", *chosen, "-o", str(page))
    assert ended.returncode == 1, ended.stderr
    text = page.read_text()
    assert "tags.exact-page-ends-the-list" in text
    assert "reference@3.1" in text
    if form == "json":
        (comparison,) = json.loads(text)["comparisons"]
        assert comparison["unexplained"][0]["field"] == "header link"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_PULLPROOF_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "code"), [("run", 2), ("lint", 130)])
def test_ctrl_c_during_the_imports_of_a_command(
    command: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def import_module(name: str, package: str) -> ModuleType:
        signal.raise_signal(signal.SIGINT)
        return importlib.import_module(name, package)

    monkeypatch.setattr(cli, "import_module", import_module)
    assert main([command]) == code
    assert ("INCOMPLETE 0/?" in capsys.readouterr().err) == (command == "run")
