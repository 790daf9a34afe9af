"""``.pre-commit-hooks.yaml``: what pre-commit runs, and on which files."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.nodes.lint.kinds import is_candidate

_ROOT = Path(__file__).parents[3]
(_HOOK,) = yaml.safe_load((_ROOT / ".pre-commit-hooks.yaml").read_text())
_FILES = re.compile(_HOOK["files"])


names = st.one_of(
    st.text(st.characters(exclude_characters="/\0\n", codec="utf-8"), min_size=1),
    st.sampled_from([
        "hosts.toml", "htpasswd", ".htpasswd", "xhtpasswd", "a.yaml", "a.yml", "ayml", "x.json",
        "x.jsonl", "registries.conf", ".dockerconfigjson", "y.dockercfg", "z.toml.bak", "README.md",
    ]),
)  # fmt: skip


@given(st.lists(st.sampled_from(["a", ".b", "c.yml"])), names)
def test_the_pattern_matches_the_files_that_lint_reads(directories: list[str], name: str) -> None:
    """pre-commit searches the pattern in each path, from the top of the repository."""
    taken = _FILES.search("/".join([*directories, name])) is not None
    assert taken == is_candidate(name)


def _commit(root: Path, files: dict[str, str]) -> list[str]:
    """A repository with *files*, and those of them that the hook is given."""
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "-C", str(root), "add", "."], check=True)
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout
    assert _HOOK["types"] == ["file"]  # no links, and no submodules
    paths = [path for path in listed.split("\0") if path and not (root / path).is_symlink()]
    return [path for path in paths if _FILES.search(path)]


@pytest.mark.parametrize(
    ("server", "code"), [("https://docker.io", 1), ("https://registry-1.docker.io", 0)]
)
def test_what_the_hook_runs(
    server: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {
        "etc/certs.d/docker.io/hosts.toml": f'server = "{server}"\n[host]\n',
        ".github/workflows/ci.yml": "on: push\njobs: {a: {steps: []}}\n",
        "package.json": "{}",
        "pyproject.toml": "[project]\n",
        "src/main.py": "print()\n",
    }
    given_files = _commit(tmp_path, files)
    assert set(given_files) == set(files) - {"src/main.py"}
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(_HOOK["entry"])[1:], *given_files]) == code
    assert ("PPH021" in capsys.readouterr().out) == bool(code)
    assert main([*shlex.split(_HOOK["entry"])[1:], "--fix", *given_files]) == 0
    fixed = (tmp_path / "etc/certs.d/docker.io/hosts.toml").read_text()
    assert fixed == 'server = "https://registry-1.docker.io"\n[host]\n'


def test_a_file_alone_shows_that_its_directory_has_the_wrong_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = _commit(
        tmp_path, {"certs.d/mirror/hosts.toml": 'server = "https://u.example"\n[host]\n'}
    )
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(_HOOK["entry"])[1:], *files]) == 1
    assert "[PPH040]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["lint", "--f"], {"--format", "--fix"}),
        (["lint", "--format", ""], {"text", "json", "sarif", "github"}),
        (["lint", "--ignore", "PPH02"], {f"PPH02{n}" for n in range(10)}),
        (["lint", "ho"], {"ho"}),
    ],
)
def test_the_shell_completes(
    words: list[str],
    completed: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from harness.cli import pullproof

    variables: dict[str, Any] = {
        "_PULLPROOF_COMPLETE": "bash_complete",
        "COMP_WORDS": shlex.join(["pullproof", *words]),
        "COMP_CWORD": str(len(words)),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        pullproof.main([], prog_name="pullproof")
    lines = capsys.readouterr().out.splitlines()
    assert {line.partition(",")[2] for line in lines} == completed
