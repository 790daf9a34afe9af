"""Files that are broken, enormous or meant to harm: one finding each, and soon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cli import main
from harness.nodes.lint.engine import Question, findings
from harness.nodes.lint.project import Project
from harness.nodes.lint.reading import read_all

_LAUGHS = "apiVersion: v1\nkind: Pod\na: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def rules_of(path: Path) -> list[str]:
    tree = read_all([str(path)])
    project = Project(tuple(tree.documents), tuple(tree.roots), tree.names)
    return [finding.rule for finding in findings(project, Question())]


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("hosts.toml", b"server = '\xff'", "PPX001"),
        ("hosts.toml", b"server = 'a\0b'", "PPX002"),
        ("hosts.toml", b"[host.", "PPX003"),
        ("config.toml", b"a = 1\n" * (10 << 20), "PPX004"),
        ("config.toml", b"a = " + b"[" * 5000, "PPX005"),
        ("pod.yaml", _LAUGHS.encode(), "PPX005"),
        ("pod.yaml", b"apiVersion: v1\nkind: Pod\na: " + b"[" * 5000, "PPX005"),
        ("notes.txt", b"hello", "PPX009"),
    ],
)
def test_one_finding(name: str, content: bytes, rule: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert rules_of(tmp_path / name) == [rule]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hosts.toml")
    assert rules_of(tmp_path / "hosts.toml") == ["PPX006"]


def test_links_out_of_the_tree_and_loops_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.toml").write_text("[host.")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "hosts.toml").symlink_to(tmp_path / "secret.toml")
    (tree / "loop").symlink_to(tree)
    assert rules_of(tree).count("PPX007") == 2
    assert "PPX003" not in rules_of(tree)


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, broken = (tmp_path / name / "hosts.toml" for name in ("good.example", "b", "c"))
    for path, content in ((good, b""), (bad, b"[host."), (broken, b"\xff")):
        path.parent.mkdir()
        path.write_bytes(content)
    assert [main(["lint", str(path)]) for path in (good, bad, broken)] == [0, 1, 2]
    assert main(["lint", str(tmp_path / "absent")]) == 2
    assert main(["lint", "--containerd", "0.1", str(good)]) == 2
    assert "Traceback" not in capsys.readouterr().err
