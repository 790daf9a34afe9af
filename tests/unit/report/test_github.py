"""Annotations for GitHub Actions."""

from pathlib import Path
from typing import Any

import pytest

from harness.report.github import annotate
from tests.unit.report.examples import HOLDS, WRONG, run


def commands(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("::")]


def test_a_failure_is_annotated_at_its_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path.parent))
    (line,) = commands(run(pytester, HOLDS + WRONG, "-n", "2"))
    source = (pytester.path / "test_demo.py").read_text().splitlines()
    number = source.index(WRONG.splitlines()[1]) + 1
    assert line == (
        f"::error file={pytester.path.name}/test_demo.py,line={number},"
        "title=demo.teapot fails on reference@ideal::The API root is a teapot%0A"
        "client: status: expected 418, but saw 200"
    )


def test_no_annotations_outside_github_actions(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert commands(run(pytester, WRONG)) == []


def document(key: str, problem: str, file: str = "scenarios/test_x.py") -> dict[str, Any]:
    return {
        "scenarios": [{"key": key, "file": file, "line": 7}],
        "results": [
            {
                "key": key,
                "target": "url:http://a,b",
                "claim": "It holds",
                "verdict": "fails",
                "problems": [problem],
                "earlier": [],
            }
        ],
        "unequal": [],
        "incomplete": None,
        "differential": None,
    }


def test_output_of_a_target_is_never_a_command(tmp_path: Path) -> None:
    hostile = "saw 'x'\r\n::add-mask::100%\n::set-output name=a::b"
    (line,) = annotate(document("a.b[c:d,e]", hostile), root=tmp_path, workspace=tmp_path)
    assert "\n" not in line
    assert "\r" not in line
    assert line == (
        "::error file=scenarios/test_x.py,line=7,"
        "title=a.b[c%3Ad%2Ce] fails on url%3Ahttp%3A//a%2Cb::It holds%0A"
        "saw 'x'%0D%0A::add-mask::100%25%0A::set-output name=a::b"
    )


def test_a_suite_outside_the_workspace_has_no_file_name(tmp_path: Path) -> None:
    root, workspace = tmp_path / "site-packages", tmp_path / "work"
    (line,) = annotate(document("a.b", "no"), root=root, workspace=workspace)
    assert line.startswith("::error title=a.b fails on ")


def test_differences_are_annotated(tmp_path: Path) -> None:
    made = document("a.b", "no")
    made["results"] = []
    divergence = {"step": "GET /v2/", "field": "status", "left": 200, "right": 404}
    made["differential"] = {
        "comparisons": [
            {"scenario": "a.b", "left": "one", "right": "two", "unexplained": [divergence]},
            {"scenario": "a.c", "left": "one", "right": "two", "unexplained": []},
        ],
        "stale": ["a.d: divergences.toml lists nothing"],
    }
    one, stale = annotate(made, root=tmp_path, workspace=tmp_path)
    assert one == (
        "::error file=scenarios/test_x.py,line=7,title=a.b differs between one and two::"
        "GET /v2/: status: one 200, two 404"
    )
    assert stale.endswith("::a.d: divergences.toml lists nothing")
