"""The Markdown summary, also as GitHub shows it."""

from pathlib import Path

import pytest

from harness.report.markdown import code_block, code_span, render_markdown
from tests.unit.report.examples import DEVIATION, HOLDS, PULLS, WRONG, results_of, run


def test_totals_failures_and_deviations_are_shown(pytester: pytest.Pytester) -> None:
    (pytester.path / "deviations.toml").write_text(DEVIATION)
    targets = ("--target", "reference", "--target", "reference@2.8")
    text = render_markdown(results_of(pytester, HOLDS + WRONG, *targets))
    assert text.startswith("## pullproof: 1 failed\n")
    assert "| `reference@ideal` | 1 | 0 | 1 | 0 |" in text
    assert "| `reference@2.8` | 1 | 1 | 0 | 0 |" in text
    assert "#### `demo.teapot` on `reference@ideal`" in text
    assert "- `client: status: expected 418, but saw 200`" in text
    assert "client -> registry 1: GET /v2/ -> 200" in text
    assert "| `demo.teapot` | `reference@2.8` | is no teapot | RFC 2324 |" in text


def test_differences_from_the_baseline_are_shown(pytester: pytest.Pytester) -> None:
    targets = ("--target", "reference", "--baseline", "reference@2.8")
    text = render_markdown(results_of(pytester, PULLS, *targets))
    assert "differences unexplained" in text.splitlines()[0]
    assert "### Compared with `reference@2.8`" in text
    assert "| `cache.cold` | `upstream: " in text


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("plain", "`plain`"),
        ("a `b` c", "``a `b` c``"),
        ("`", "`` ` ``"),
        ("two\nlines", "`two lines`"),
        ("<script>", "`<script>`"),
        ("", "` `"),
    ],
)
def test_code_spans_hold_anything(text: str, span: str) -> None:
    assert code_span(text) == span


def test_a_cell_cannot_end_its_column() -> None:
    assert code_span("a|b", in_table=True) == r"`a\|b`"


def test_blocks_hold_anything() -> None:
    assert code_block("```\n</details>").splitlines()[0] == "````text"


def test_the_summary_of_a_github_job_grows(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = pytester.path / "summary.md"
    summary.write_text("# Of the step before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run(pytester, HOLDS)
    run(pytester, WRONG)
    text = summary.read_text()
    assert text.startswith("# Of the step before\n")
    assert text.index("all as expected") < text.index("1 failed")


def test_ordinary_tests_write_no_summary(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary: Path = pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run(pytester, "def test_other(): pass")
    assert not summary.exists()
