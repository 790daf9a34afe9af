"""Comments that ignore a finding, and what is said of those that ignore nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.nodes.lint.engine import Question, look
from tests.unit.lint.cases import project_of

_HOST = '[host."https://m"]\ncapabilities = ["pull", "resolve"]\n'
_LINE = "skip_verify = true"


def looked(root: Path, text: str, question: Question | None = None) -> tuple[list[str], list[str]]:
    """The rules that are said, and the reasons why others are not."""
    (root / "hosts.toml").write_text(text)
    outcome = look(project_of(root, ("hosts.toml",)), question or Question())
    return [f.rule for f in outcome.findings], [c.reason for _, c in outcome.suppressed]


@pytest.mark.parametrize(
    "text",
    [
        f"{_HOST}{_LINE} # pullproof: ignore[PPH026] the lab's own\n",
        f"{_HOST}# pullproof: ignore[pph026]  the lab's own\n\n# and so on\n{_LINE}\n",
        f"# pullproof: ignore-file[PPH026] the lab's own\n{_HOST}{_LINE}\n",
        f"{_HOST}{_LINE} #pullproof:ignore[PPH026] the lab's own\n",
    ],
)
def test_a_comment_ignores_what_it_names(text: str, tmp_path: Path) -> None:
    assert looked(tmp_path, text) == ([], ["the lab's own"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{_HOST}{_LINE} # pullproof: ignore[PPH021]\n", ["PPH026", "PPX012"]),
        (f"{_HOST} # pullproof: ignore[PPH026]\n# x\nca = 'x'\n{_LINE}\n", ["PPX012", "PPH026"]),
        (f"{_HOST}{_LINE} # pullproof: ignore\n", ["PPH026", "PPX012"]),
        (f"{_HOST}{_LINE} # pullproof: ignore[PPH026, PPQ999]\n", ["PPX012"]),
        (f"{_HOST}# pullproof: ignore[PPH026]\n", ["PPX012"]),
        (f"{_HOST}{_LINE} # pullproof ignore[PPH026]\n", ["PPH026"]),
    ],
)
def test_what_ignores_nothing_is_said(text: str, said: list[str], tmp_path: Path) -> None:
    assert looked(tmp_path, text)[0] == said


def test_what_was_not_asked_is_not_called_useless(tmp_path: Path) -> None:
    """The rule is one of containerd 1.6, and another file's business for the rest."""
    text = 'server = "https://u" # pullproof: ignore[PPH001] we run 2.x\n'
    assert looked(tmp_path, text)[0] == []
    assert looked(tmp_path, text, Question(containerd=("2.3",)))[0] == []
    other = Question(select=("PPT", "PPX"))
    assert looked(tmp_path, text, other)[0] == []


def test_json_has_no_comments(tmp_path: Path) -> None:
    (tmp_path / "pod.json").write_text(
        '{"apiVersion": "v1", "kind": "# pullproof: ignore[PPX003]"}'
    )
    assert look(project_of(tmp_path), Question()).findings == ()


def test_exit_code_count_and_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "hosts.toml"
    text = 'server = "https://docker.io" # pullproof: ignore[PPH021] a test\n[host]\n'
    file.write_text(text)
    assert main(["lint", "--fix", str(file)]) == 0
    assert file.read_text() == text
    assert capsys.readouterr().out.endswith("0 info, 1 ignored by comments\n")
    assert main(["lint", "--format", "sarif", str(file)]) == 0
    result = json.loads(capsys.readouterr().out)["runs"][0]["results"][0]
    assert result["suppressions"] == [{"kind": "inSource", "justification": "a test"}]
