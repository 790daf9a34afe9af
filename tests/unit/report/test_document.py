"""The JSON file: its content, its schema, and the reports made from it."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from harness.cli import main
from harness.report.document import SCHEMA_VERSION
from tests.unit.report.examples import (
    DEVIATION,
    HOLDS,
    NOT_OFFERED,
    PULLS,
    WRONG,
    cell,
    results_of,
    run,
    write,
)

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "results-schema.json").read_text())


def problems(document: Any) -> list[str]:
    validator = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def test_the_schema_is_one_and_of_the_version_that_is_written() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == SCHEMA_VERSION


def test_every_verdict_follows_the_schema(pytester: pytest.Pytester) -> None:
    (pytester.path / "deviations.toml").write_text(DEVIATION)
    targets = ("--target", "reference", "--target", "reference@2.8", "-n", "2")
    document = results_of(pytester, HOLDS + WRONG + NOT_OFFERED, *targets)
    assert problems(document) == []
    assert cell(document, "demo.base")["verdict"] == "holds"
    assert cell(document, "demo.teapot")["verdict"] == "fails"
    assert cell(document, "demo.teapot", "reference@2.8")["verdict"] == "deviates"
    assert cell(document, "demo.teapot", "reference@2.8")["advice"] == "drink coffee"
    assert cell(document, "demo.keys", "reference@2.8")["verdict"] == "n/a"
    assert document["totals"]["reference@2.8"] == {"holds": 1, "deviates": 1, "fails": 0, "n/a": 1}
    assert document["levels"]["reference@2.8"]["MUST"]["deviates"] == 1
    (about,) = [one for one in document["scenarios"] if one["key"] == "demo.base"]
    assert about["why"] == "Clients ask ``/v2/`` first."
    assert (about["file"], about["refs"]) == ("test_demo.py", ["spec", "d#1"])
    assert about["line"] > 0


def test_a_differential_and_a_recording_follow_the_schema(pytester: pytest.Pytester) -> None:
    run(pytester, PULLS, "--target", "reference@2.8", "--record", "kept")
    kept = "recording:kept/reference@2.8.json"
    document = results_of(pytester, PULLS, "--target", "reference", "--baseline", kept)
    assert problems(document) == []
    assert document["differential"]["baseline"] == "recording:reference@2.8"
    assert document["differential"]["comparisons"][0]["unexplained"]
    assert [target["baseline"] for target in document["targets"]] == [False, True]
    trace = cell(document, "cache.cold", "recording:reference@2.8")["trace"]
    assert not trace["ordered"]
    assert [e["kind"] for e in trace["events"]][:2] == ["client", "client"]
    assert {e["kind"] for e in trace["events"]} == {"client", "upstream", "disk"}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_events_are_in_order(pytester: pytest.Pytester, workers: str) -> None:
    document = results_of(pytester, PULLS, "-n", workers)
    trace = cell(document, "cache.cold")["trace"]
    events = trace["events"]
    cold, *others = [event for event in events if event["kind"] == "client"]
    asked = [event for event in events if event["kind"] == "upstream"]
    written = [event for event in events if event["kind"] == "disk"]
    assert trace["ordered"]
    assert cold["line"] == "GET /v2/team/app/manifests/v1"
    assert len(others) == 1
    assert ("content-length", str(cold["size"])) in {tuple(line) for line in cold["headers"]}
    assert json.loads(cold["body"])["schemaVersion"] == 2
    # The cache asked while its client waited, and the manifest lay on disk afterwards.
    assert cold["order"] < asked[0]["order"] < cold["ended"]
    assert any("/_manifests/tags/v1/current/link" in f for e in written for f in e["files"])
    assert [event["order"] for event in events] == sorted(event["order"] for event in events)


def test_no_machine_path_and_no_secret_is_reported(pytester: pytest.Pytester) -> None:
    source = """
@scenario("demo.login", "A password is no news", level=MUST, refs=("spec",))
def test_login(target, expect):
    registry = target.standard(htpasswd={"user": "opensesame"})
    expect.client("status", registry.get("/v2/", auth=("user", "opensesame")).status, 200)
"""
    text = json.dumps(results_of(pytester, source))
    assert "A password is no news" in text
    assert '"status": 200' in text
    assert "opensesame" not in text
    assert str(pytester.path) not in text


def test_traces_can_be_left_out(pytester: pytest.Pytester) -> None:
    document = results_of(pytester, PULLS, "--pullproof-no-traces")
    assert problems(document) == []
    assert cell(document, "cache.cold")["trace"] is None


def test_files_that_cannot_be_written_are_misuse(pytester: pytest.Pytester) -> None:
    for name in ("json", "html", "markdown"):
        ended = run(pytester, HOLDS, f"--pullproof-{name}", "no/such/place")
        assert ended.ret == 2
        ended.stderr.fnmatch_lines(
            [f"*--pullproof-{name}: no/such is not a directory; create it first"]
        )


# -- pullproof report -------------------------------------------------------------------------


def test_reports_are_made_from_the_file(pytester: pytest.Pytester) -> None:
    page, text = pytester.path / "direct.html", pytester.path / "direct.md"
    document = results_of(
        pytester, PULLS, "--pullproof-html", str(page), "--pullproof-markdown", str(text)
    )
    source = write(document, pytester.path / "again.json")
    again = pytester.path / "again.html"
    assert main(["report", str(source), "-o", str(again)]) == 0
    assert again.read_text() == page.read_text()
    assert main(["report", str(source), "-o", str(pytester.path / "again.md")]) == 0
    assert (pytester.path / "again.md").read_text() == text.read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        ("{", "not valid JSON"),
        ("[]", "schema is None, not 3; write it again with --pullproof-json FILE"),
        ('{"schema": 1}', "schema is 1, not 3; write it again with --pullproof-json FILE"),
        ('{"schema": 3}', "not the results of a run, or damaged; write it again"),
        ("[" * 100_000, "not valid JSON"),
    ],
    ids=["missing", "broken", "list", "old", "empty", "deep"],
)
def test_an_invalid_results_file_is_a_one_line_error(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    assert main(["report", str(path), "-o", str(tmp_path / "out.html")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"pullproof: {path}: ")
    assert message in line
    assert not (tmp_path / "out.html").exists()


@pytest.mark.parametrize("spoil", ["verdict", "target", "trace"])
def test_damaged_results_are_refused(
    spoil: str, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    document = results_of(pytester, HOLDS)
    document["results"][0][spoil] = {"trace": {"events": [{"kind": 1}]}}.get(spoil, "nonsense")
    path = write(document, pytester.path / "spoilt.json")
    assert main(["report", str(path)]) == 2
    assert "not the results of a run" in capsys.readouterr().err
