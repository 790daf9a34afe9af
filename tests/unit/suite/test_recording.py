"""Recordings: written, read back, replayed as a column and as a baseline."""

import json
from pathlib import Path

import pytest

from harness.suite.recording import Recording, RecordingError, fingerprint

SCENARIO = '''
from harness.suite.scenario import INFO, Need, scenario

@scenario("demo.base", "The API root answers", level=INFO, refs=("spec",))
def test_base(target, expect):
    """Why it matters."""
    registry = target.standard(htpasswd={"alice": "wonderland"})
    answer = registry.get("/v2/", auth=("alice", "wonderland"))
    expect.client("status", answer.status, 200)
'''


def recorded(pytester: pytest.Pytester, target: str = "reference") -> Path:
    pytester.makepyfile(test_demo=SCENARIO)
    result = pytester.runpytest("--record", "kept", "--target", target)
    result.assert_outcomes(passed=1)
    (file,) = (pytester.path / "kept").iterdir()
    return file


def test_a_recording_holds_the_observation_and_no_secret(pytester: pytest.Pytester) -> None:
    file = recorded(pytester)
    text = file.read_text()
    assert "wonderland" not in text
    assert str(pytester.path) not in text
    recording = Recording.read(file)
    assert (recording.target, recording.version) == ("reference@ideal", "ideal")
    (step,) = recording.scenarios["demo.base"].observation.steps
    assert (step.request, step.status) == ("GET /v2/", 200)
    assert recording.render() == text


def test_a_recording_is_replayed_as_a_target(pytester: pytest.Pytester) -> None:
    file = recorded(pytester)
    result = pytester.runpytest("--target", f"recording:{file}")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*recording:reference@ideal: 1 holds*"])


def test_a_recording_is_a_baseline(pytester: pytest.Pytester) -> None:
    file = recorded(pytester)
    result = pytester.runpytest("--target", "reference", "--baseline", f"recording:{file}")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["1 scenario compared: 0 divergences explained, 0 unexplained*"])


def test_a_difference_from_the_baseline_fails_and_is_shown(pytester: pytest.Pytester) -> None:
    file = recorded(pytester)
    document = json.loads(file.read_text())
    step = document["scenarios"]["demo.base"]["observation"]["steps"][0]
    document["headers"][step["headers"]]["x-other"] = "1"
    file.write_text(json.dumps(document))
    result = pytester.runpytest("--target", "reference", "--baseline", f"recording:{file}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["demo.base: 1. GET /v2/: header x-other", "*1 unexplained*"])


def test_a_scenario_that_has_changed_is_not_applicable(pytester: pytest.Pytester) -> None:
    file = recorded(pytester)
    pytester.makepyfile(test_demo=SCENARIO.replace("200)", "201)"))
    result = pytester.runpytest("-rs", "--target", f"recording:{file}")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*has changed since the recording*"])


def test_a_new_scenario_is_not_applicable(pytester: pytest.Pytester) -> None:
    file = recorded(pytester)
    pytester.makepyfile(test_demo=SCENARIO.replace("demo.base", "demo.new"))
    result = pytester.runpytest("-rs", "--target", f"recording:{file}")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*not in the recording*"])


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 0}', '{"schema": 1, "scenarios": []}'])
def test_an_invalid_recording_is_a_one_line_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "kept.json"
    file.write_text(content)
    with pytest.raises(RecordingError, match=r"kept\.json.*record it again"):
        Recording.read(file)


def test_a_missing_recording_is_misuse(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SCENARIO)
    result = pytester.runpytest_subprocess("--target", "recording:nowhere.json")
    assert result.ret == 2
    result.stderr.fnmatch_lines(["*recording:nowhere.json: No such file or directory*"])


def _as_it_was() -> int:
    """One."""
    return 1


def test_a_fingerprint_covers_the_code_without_comments() -> None:
    before = fingerprint(_as_it_was)

    def _as_it_was_() -> int:
        return 2

    assert before == fingerprint(_as_it_was)
    assert before != fingerprint(_as_it_was_)
    assert len(before) == 12
