"""The plugin, in separate pytest runs."""

from pathlib import Path

import pytest

from tests.unit.report.examples import DEVIATION, HOLDS, PREAMBLE, WRONG


def test_a_claim_that_holds_passes_and_is_in_the_matrix(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PREAMBLE + HOLDS)
    result = pytester.runpytest("-v", "--target", "reference", "--target", "reference@2.8")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*reference@ideal*reference@2.8*", "*The API root*holds*holds*"])


def test_a_failure_shows_the_problem_and_the_conversation(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PREAMBLE + WRONG)
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*client: status: expected 418, but saw 200*",
            "*client -> registry 1: GET /v2/team/app/manifests/v1*",
            "*registry -> upstream 1: * /v2/team/app/manifests/v1*",
            "*client -> registry 1: GET /v2/ *",
        ]
    )
    assert "Traceback" not in result.stdout.str()


NOT_OFFERED = """
import pytest

@pytest.fixture
def registry(target):
    return target.standard()

@scenario("demo.standard", "It takes a push", level=MUST, refs=("spec",))
def test_standard(registry, expect):
    expect.client("status", registry.get("/v2/").status, 200)
"""


def test_a_fixture_that_the_target_cannot_offer_is_not_applicable(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(PREAMBLE + NOT_OFFERED)
    result = pytester.runpytest("--target", "drayage", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*nothing can be pushed to it*"])


def test_known_deviations_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PREAMBLE + WRONG)
    (pytester.path / "deviations.toml").write_text(DEVIATION)
    result = pytester.runpytest("--target", "reference@2.8")
    result.stdout.fnmatch_lines(["*is no teapot*RFC 2324*", "*1 deviates*"])
    assert result.ret == pytest.ExitCode.OK


def test_a_failure_of_a_release_prints_the_entry_to_add(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PREAMBLE + WRONG)
    result = pytester.runpytest("--target", "reference@2.8")
    result.stdout.fnmatch_lines(["*add it to deviations.toml:*", 'scenario = "demo.teapot"'])


def test_a_scenario_without_checks_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        PREAMBLE
        + """
@scenario("demo.blind", "Nothing is looked at", level=INFO, refs=("none",))
def test_blind(expect):
    pass
"""
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the scenario checked nothing*"])


def test_one_id_for_two_scenarios_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_one=PREAMBLE + HOLDS, test_two=PREAMBLE + HOLDS)
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*scenario id demo.base is used by test_one.py*test_two.py*"])


def test_a_binary_that_does_not_start_is_one_line_and_exit_code_2(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    broken = tmp_path / "registry"
    broken.write_text("#!/bin/sh\necho 'out of order' >&2\nexit 3\n")
    broken.chmod(0o755)
    pytester.makepyfile(PREAMBLE + HOLDS)
    result = pytester.runpytest_subprocess("--target", f"binary:{broken}")
    assert result.ret == 2
    result.stderr.fnmatch_lines([f"*{broken}*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_the_catalogue_is_written_from_what_was_collected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PREAMBLE + HOLDS + WRONG)
    (pytester.path / "deviations.toml").write_text(DEVIATION)
    page = pytester.path / "page.md"
    pytester.runpytest("--collect-only", "--pullproof-catalogue", str(page))
    text = page.read_text()
    assert "2 scenarios" in text
    assert "### `demo.base`" in text
    assert "Known deviation: distribution 2.8 is no teapot (RFC 2324)" in text
