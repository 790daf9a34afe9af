"""The wheel, installed without a clone."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from harness.cli import pullproof
from harness.suite.catalogue import declared
from harness.system.process import clean_environment
from tests.contract.packaging.conftest import TREE, Installed, environment

MOVED = ("harness", "reference_registry", "scenarios")

THREE_LINES = """
def test_pull(mock_upstream, proxy_registry, oci_content):
    image = mock_upstream.add("team/app", oci_content.image(), tags=("v1",))
    assert proxy_registry.pull("team/app", "v1").complete
    mock_upstream.ledger.assert_asked("GET", image.layers[0], times=1)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Another project, whose packages have the names of ours in a clone."""
    for name in MOVED:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "plugin.py").write_text("OWNER = 'theirs'\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_theirs.py").write_text(
        "".join(f"import {name}.plugin\n" for name in MOVED)
        + f"owners = [{', '.join(f'{name}.plugin.OWNER' for name in MOVED)}]\n"
        + "def test_owners():\n    assert owners == ['theirs'] * 3\n"
    )
    return tmp_path


# -- what is in it ------------------------------------------------------------------------------
def _tracked(*places: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *places],
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip(f"no git repository: {listed.stderr.strip()}")
    return {name for name in listed.stdout.split("\0") if name and (TREE / name).exists()}


def test_the_wheel_holds_the_packages_below_one_name(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {f"pullproof/{name}" for name in _tracked(*MOVED)} | _tracked("pullproof")
    assert wanted <= held
    # Others may be at work in this tree; modules that are not committed yet are fine.
    strange = [name for name in held - wanted if not re.fullmatch(r"pullproof/[\w/]+\.py", name)]
    assert strange == []
    assert {"pullproof/py.typed", "pullproof/scenarios/deviations.toml"} <= held
    assert {"pullproof/harness/report/html/template.html"} <= held


def test_the_source_distribution_is_the_clone(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    assert _tracked() <= held
    assert not [name for name in held if re.search(r"__pycache__|\.pyc|^\.(git/|hypo|mypy)", name)]


def test_no_string_of_the_code_names_a_moved_package(installed: Installed) -> None:
    """Imports are renamed when the wheel is built; a name in a string is not."""
    named = re.compile(rf"({'|'.join(MOVED)})([.:][\w.:]+|)")
    found = [
        f"{path.relative_to(TREE)}:{node.lineno}: {node.value!r}"
        for package in MOVED
        for path in (TREE / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if named.fullmatch(node.value) and "." in node.value
    ]
    assert found == []


# -- its commands -------------------------------------------------------------------------------
def test_every_command_is_there(installed: Installed, tmp_path: Path) -> None:
    said = installed.run("pullproof", "--help", cwd=tmp_path)
    names = pullproof.list_commands(pullproof.make_context("pullproof", ["list"]))
    assert all(re.search(rf"^  {name}\b", said, re.MULTILINE) for name in names)
    for name in names:
        said = installed.run("pullproof", name, "--help", cwd=tmp_path)
        assert said.startswith(f"Usage: pullproof {name}")


def test_its_version(installed: Installed, tmp_path: Path) -> None:
    (wheel,) = re.findall(r"pullproof-(.+?)-py3", installed.wheel.name)
    assert installed.run("pullproof-registry", "--version", cwd=tmp_path).split()[-1] == wheel
    assert wheel in installed.run("pullproof", "--version", cwd=tmp_path)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("stateful", "reference", "reference@2.8"), "needs hypothesis: pip install 'pullproof[st"),
        (("run", "-t", "container:registry:2"), "needs the Docker SDK: pip install 'pullproof[co"),
    ],
    ids=["stateful", "container"],
)
def test_a_missing_extra_is_named(
    installed: Installed, tmp_path: Path, command: tuple[str, ...], says: str
) -> None:
    (line,) = installed.run("pullproof", *command, cwd=tmp_path, expect=2).splitlines()
    assert says in line


def test_it_lists_all_scenarios(installed: Installed, tmp_path: Path) -> None:
    said = installed.run("pullproof", "list", cwd=tmp_path).splitlines()
    assert {line.split()[0] for line in said[:-1]} >= {scenario.id for scenario in declared()}


def test_it_runs_scenarios_in_its_own_and_in_other_processes(
    installed: Installed, project: Path
) -> None:
    chosen = ("-s", "tags.pages-for-clients", "-s", "crash.killed-during-a-push", "-n", "2")
    said = installed.run("pullproof", "run", *chosen, "--html", "report.html", cwd=project)
    assert re.search(r"^reference@ideal: [23] holds$", said, re.MULTILINE)
    assert "crash.killed-during-a-push" in (project / "report.html").read_text()


def test_the_wheel_has_the_known_deviations(installed: Installed, tmp_path: Path) -> None:
    chosen = ("-t", "reference@2.8", "-s", "ttl.configured", "-s", "ttl.shared-*", "-n", "0")
    assert "known deviations" in installed.run("pullproof", "run", *chosen, cwd=tmp_path)


# -- tests of other projects ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "command", [("pytest",), ("pytest", "-n", "2"), ("python", "-m", "pytest")], ids=" ".join
)
def test_three_lines_beside_packages_of_our_names(
    installed: Installed, project: Path, command: tuple[str, ...]
) -> None:
    (project / "test_three.py").write_text(THREE_LINES)
    assert "2 passed" in installed.run(*command, "-q", cwd=project)


def test_types_are_known(installed: Installed, tmp_path: Path) -> None:
    if not importlib.util.find_spec("mypy"):
        pytest.skip("mypy is not installed")
    (tmp_path / "test_typed.py").write_text(
        "from pullproof import ProxyDouble\n\n\n"
        "def test_it(proxy_registry: ProxyDouble) -> None:\n"
        '    reveal_type(proxy_registry(ttl="1h").get("/v2/").status)\n'
        '    proxy_registry(tll="1h")\n'
    )
    python = installed.program("python")
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--python-executable={python}", "."],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'Revealed type is "int | None"' in ended.stdout
    assert re.search(r"tll.*\[call-arg\]\n(.*\n)?Found 1 error", ended.stdout), ended.stdout


@pytest.mark.parametrize("first", ["clone", "project"])
def test_a_clone_that_clashes_says_so(project: Path, first: str) -> None:
    """``pip install --editable`` puts the clone itself on the path, where nothing can be moved."""
    path = {"clone": f"{TREE}:{project}", "project": f"{project}:{TREE}"}[first]
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-p", "pullproof.plugin"],
        cwd=project,
        env=clean_environment({"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert ended.stderr.strip() == (
        f"ERROR: pullproof: {project}/harness has the name of a package in {TREE}, which is "
        f"installed in editable mode: install it with 'pip install {TREE}', or run pytest with "
        "'-p no:pullproof'"
    )
