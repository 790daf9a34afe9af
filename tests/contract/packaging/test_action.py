"""``action.yml``: its structure, and its scripts run as on a runner."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.system.real_parts import missing_part
from tests.contract.packaging.conftest import TREE, Installed, environment

ACTION: dict[str, Any] = yaml.safe_load((TREE / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
SCRIPTS = {step["name"]: step for step in STEPS if "run" in step}
DEFAULTS = {name: given.get("default", "") for name, given in ACTION["inputs"].items()}
PAGE = (TREE / "docs" / "github-action.md").read_text()


def _expressions(value: object) -> list[str]:
    return re.findall(r"\$\{\{\s*(.*?)\s*\}\}", yaml.safe_dump(value))


# -- what is written ----------------------------------------------------------------------------
def test_every_step_has_either_run_or_uses() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for step in STEPS:
        assert ("run" in step) != ("uses" in step)
        if "run" in step:
            assert step["shell"] == "bash"
        else:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


def test_no_expression_becomes_part_of_a_script() -> None:
    for step in SCRIPTS.values():
        assert "${{" not in step["run"]
        used = set(re.findall(r"\$\{?([A-Z_]+)", step["run"]))
        assert used - {"GITHUB_OUTPUT"} == set(step["env"])


def test_expressions_name_existing_inputs_and_steps() -> None:
    inputs, steps = set(), {step["id"] for step in STEPS if "id" in step}
    for expression in _expressions(ACTION):
        for context, rest in re.findall(r"\b(inputs|steps|github|runner)\.([\w.-]+)", expression):
            if context == "inputs":
                inputs.add(rest)
            elif context == "steps":
                assert rest.split(".")[0] in steps
    assert inputs == set(ACTION["inputs"])
    outputs = set(re.findall(r'"([\w-]+)=', SCRIPTS["Run the scenarios"]["run"]))
    assert outputs >= set(ACTION["outputs"])


def test_every_input_and_output_is_documented() -> None:
    for name, given in ACTION["inputs"].items():
        assert given["description"]
        row = re.search(rf"^\| `{name}` \|.*\| (.*) \|$", PAGE, re.MULTILINE)
        assert row is not None, name
        default = f"`{given['default']}`" if given.get("default") else "none"
        assert row[1] == ("required" if given.get("required") else default)
    assert all(f"`{name}`" in PAGE for name in ACTION["outputs"])


def test_the_example_workflows_use_existing_inputs() -> None:
    examples = re.findall(r"(?ms)^```yaml\n(.*?)^```", PAGE)
    jobs = [job for text in examples for job in yaml.safe_load(text)["jobs"].values()]
    uses = [step for job in jobs for step in job["steps"] if "/pullproof@" in step.get("uses", "")]
    assert len(uses) == len(examples) == 2
    for step in uses:
        assert {"target"} <= set(step["with"]) <= set(ACTION["inputs"])


# -- what is run --------------------------------------------------------------------------------
class Runner:
    """The parts of GitHub's runner that the scripts use."""

    def __init__(self, temp: Path, inputs: dict[str, str]) -> None:
        self.temp = temp
        self.output, self.summary = temp / "output", temp / "summary"
        self.programs = temp / "programs"
        self.programs.mkdir()
        self._values = {
            **{
                f"inputs.{name}": given.get("default", "")
                for name, given in ACTION["inputs"].items()
            },
            **{f"inputs.{name}": value for name, value in inputs.items()},
            "github.action_path": str(TREE),
            "runner.temp": str(temp),
            "steps.python.outputs.python-path": sys.executable,
        }

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """The step called *name*, as ``shell: bash`` runs it."""
        step = SCRIPTS[name]
        given = {
            key: re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda found: self._values[found[1]], value)
            for key, value in step["env"].items()
        }
        github = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "DOCKER_HOST": f"unix://{self.temp}/nowhere",
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.temp,
            env=environment() | github | given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def outputs(self) -> dict[str, str]:
        """What the steps gave."""
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


def _with(installed: Installed, temp: Path, **inputs: str) -> Runner:
    """A runner on which the step that installs has been."""
    (temp / "pullproof").symlink_to(installed.place / "environment")
    return Runner(temp, inputs)


def test_it_installs(installed: Installed, tmp_path: Path) -> None:
    runner = Runner(tmp_path, {})
    ended = runner.run("Install pullproof")
    if ended.returncode != 0 and "No matching distribution" in ended.stdout:
        missing_part(ended.stdout.splitlines()[-1])
    assert ended.returncode == 0, ended.stdout
    python = tmp_path / "pullproof" / "bin" / "python"
    subprocess.run([python, "-I", "-c", "import pullproof.harness, docker"], check=True)


def test_it_runs_and_leaves_reports_and_a_summary(installed: Installed, tmp_path: Path) -> None:
    scenarios = "--scenario=tags.pages-for-clients\n\n  --workers=0 \n"
    targets = "reference\nreference@2.8\n"
    runner = _with(installed, tmp_path, target=targets, arguments=scenarios)
    ended = runner.run("Run the scenarios")
    assert ended.returncode == 0, ended.stdout
    outputs = runner.outputs()
    assert outputs.pop("exit-code") == "0"
    assert set(outputs) == set(ACTION["outputs"]) - {"exit-code"}
    assert all(Path(path).parent == tmp_path / "pullproof-report" for path in outputs.values())
    names = {path.name for path in (tmp_path / "pullproof-report").iterdir()}
    assert names == {"report.html", "results.json", "junit.xml"}
    assert "reference@2.8" in runner.summary.read_text()


def test_a_difference_is_annotated_and_fails(installed: Installed, tmp_path: Path) -> None:
    runner = _with(
        installed,
        tmp_path,
        target="reference@2.8",
        baseline="reference",
        arguments="--scenario=ttl.configured\n--workers=0",
    )
    ended = runner.run("Run the scenarios")
    assert ended.returncode == 1, ended.stdout
    assert runner.outputs()["exit-code"] == "1"
    assert re.search(r"^::error .*differs between", ended.stdout, re.MULTILINE)


@pytest.mark.parametrize("there", [True, False])
def test_a_missing_image_is_pulled(installed: Installed, tmp_path: Path, there: bool) -> None:
    runner = _with(installed, tmp_path, target="container:registry:3", baseline="container:mine")
    docker = runner.programs / "docker"
    found = int(not there)
    docker.write_text(f'#!/bin/sh\necho "asked: $*"\nif [ "$1" = image ]; then exit {found}; fi\n')
    docker.chmod(0o755)
    ended = runner.run("Run the scenarios")
    pulls = ["pull --quiet registry:3", "pull --quiet mine"]
    assert re.findall(r"^asked: (.*)", ended.stdout, re.MULTILINE) == ([] if there else pulls)
    assert (ended.returncode, runner.outputs()["exit-code"]) == (2, "2"), ended.stdout


@pytest.mark.parametrize("name", ["target", "baseline", "arguments"])
def test_no_input_is_a_command(installed: Installed, tmp_path: Path, name: str) -> None:
    text = '"; touch here; " $(touch here) `touch here`; touch here'
    runner = _with(installed, tmp_path, **({"target": "reference"} | {name: text}))
    assert runner.run("Run the scenarios").returncode == 2
    assert not (tmp_path / "here").exists()
