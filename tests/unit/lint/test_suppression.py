"""Comments that ignore a finding, and findings about comments that ignore nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.nodes.lint.engine import LintOptions, run_rules
from tests.unit.lint.cases import project_of

_HOST = '[host."https://m"]\ncapabilities = ["pull", "resolve"]\n'
_LINE = "skip_verify = true"


def reported(
    root: Path, text: str, options: LintOptions | None = None
) -> tuple[list[str], list[str]]:
    """The rules that are reported, and the reasons in comments for those that are not."""
    (root / "hosts.toml").write_text(text)
    outcome = run_rules(project_of(root, ("hosts.toml",)), options or LintOptions())
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
    assert reported(tmp_path, text) == ([], ["the lab's own"])


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
def test_a_comment_that_ignores_nothing_is_reported(
    text: str, said: list[str], tmp_path: Path
) -> None:
    assert reported(tmp_path, text)[0] == said


def test_a_comment_for_an_unchecked_release_is_not_reported(tmp_path: Path) -> None:
    """The rule applies to containerd 1.6 only."""
    text = 'server = "https://u" # pullproof: ignore[PPH001] we run 2.x\n'
    assert reported(tmp_path, text)[0] == []
    assert reported(tmp_path, text, LintOptions(containerd=("2.3",)))[0] == []
    other = LintOptions(select=("PPT", "PPX"))
    assert reported(tmp_path, text, other)[0] == []


def test_json_has_no_comments(tmp_path: Path) -> None:
    (tmp_path / "pod.json").write_text(
        '{"apiVersion": "v1", "kind": "# pullproof: ignore[PPX003]"}'
    )
    assert run_rules(project_of(tmp_path), LintOptions()).findings == ()


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
