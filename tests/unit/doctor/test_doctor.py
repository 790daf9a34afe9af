"""What the doctor says about caches whose behaviour is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

import pytest

from harness.cli import main
from harness.content import an_image
from harness.doctor.checks import answers, as_json, as_text, fingerprint_of
from harness.doctor.questions import FINGERPRINT, QUESTIONS, Line
from harness.suite.catalogue import declared, suite_directory
from harness.suite.deviations import DeviationFile
from harness.suite.expectation import Finding, Side
from harness.targets import RunningRegistry, Settings, parse_target
from harness.upstream import Basic, MockUpstream


# -- pure --------------------------------------------------------------------------------------
def test_every_question_is_answered_by_a_scenario_that_exists() -> None:
    known = {scenario.id for scenario in declared()}
    assert {question.scenario_id for question in QUESTIONS} | set(FINGERPRINT) <= known
    ids = [question.id for question in QUESTIONS]
    assert len(set(ids)) == len(ids)


def finding(key: str, observed: object) -> Finding:
    side, what = key.split(": ", 1)
    return Finding(cast("Side", side), what, "as claimed", observed, holds=False)


def test_listed_deviations_identify_a_release() -> None:
    known = DeviationFile.beside(suite_directory())
    entries = [d for d in known.deviations if d.concerns(d.scenario, "distribution", "2.8")]
    results = {
        entry.scenario: [finding(key, seen) for key, seen in entry.observed.items()]
        for entry in entries
    }
    found = fingerprint_of(results, known)
    assert found.best == "distribution 2.8"
    assert found.ranks[0] == ("distribution 2.8", len(entries))


def test_unknown_behaviour_matches_no_release() -> None:
    known = DeviationFile.beside(suite_directory())
    odd = [Finding("client", "status", "405", 299, holds=False)]
    assert fingerprint_of({"push.upload-refused[new]": odd}, known).best is None
    assert fingerprint_of({}, known).best is None or fingerprint_of({}, known).distinguishing == 0


def cell(key: str, looks: dict[str, object], **more: object) -> dict[str, object]:
    findings = []
    for look, seen in looks.items():
        side, what = look.split(": ", 1)
        findings.append({"side": side, "what": what, "observed": seen})
    empty = {"findings": findings, "reason": "", "problems": [], "trace": None}
    return {"key": key, **empty, **more}


def line_of(lines: list[Line], name: str) -> Line:
    return next(line for line in lines if line.id == name)


@pytest.mark.parametrize(
    ("key", "looks", "answer"),
    [
        ("blob.head-is-not-a-download", {"upstream: blob bodies": 0}, "no"),
        ("blob.head-is-not-a-download", {"upstream: blob bodies": 2}, "yes, two"),
        ("head.hit-by-tag-asks-once", {"upstream: content requests": []}, "no"),
        (
            "head.hit-by-tag-asks-once",
            {"upstream: content requests": ["HEAD /v2/a/manifests/v1"]},
            "yes, by one HEAD",
        ),
        (
            "refusal.retry-after[seconds-429]",
            {"client: tag": "429, 7", "client: blob": "429, 7"},
            "yes: tag 429, Retry-After 7, layer 429, Retry-After 7",
        ),
        (
            "failure.cached-tag-is-served[503]",
            {"client: whole pull": True, "client: Warning": "absent"},
            "yes, unmarked",
        ),
    ],
)
def test_findings_give_an_answer(key: str, looks: dict[str, object], answer: str) -> None:
    question = next(question for question in QUESTIONS if question.scenario == key)
    line = line_of(answers([cell(key, looks)]), question.id)
    assert line.answer == answer
    assert line.evidence[0] == f"scenario {key}"


def test_a_scenario_without_findings_gives_no_answer() -> None:
    lines = answers([cell("tags.moved", {}, reason="it needs more")])
    assert line_of(lines, "moved-tag").answer is None
    assert line_of(lines, "moved-tag").meaning == "it needs more"
    assert line_of(lines, "ns").meaning == "the scenario was not run"


def test_a_scenario_without_the_finding_gives_no_answer() -> None:
    lines = answers([cell("tags.moved", {"client: something": 1})])
    assert line_of(lines, "moved-tag").answer is None


def test_text_and_json_match() -> None:
    lines = [
        Line("a", "Is it?", "yes", "good", ("GET /v2/ -> 200",)),
        Line("b", "Was it?", None, "unknown"),
    ]
    text = as_text("here", None, lines, evidence=True)
    assert "Is it? yes\n    good\n      GET /v2/ -> 200\n" in text
    assert "Not answered:\n- Was it?\n    unknown\n" in text
    assert "GET" not in as_text("here", None, lines, evidence=False)
    document = json.loads(as_json("here", None, lines))
    assert document["lines"][1]["answer"] is None
    assert document["answers_like"] is None


# -- asked -------------------------------------------------------------------------------------
@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A running cache with an upstream that is not a mock of a scenario."""
    with MockUpstream() as upstream:
        upstream.add("library/app", an_image(), tags=("v1",))
        place = tmp_path_factory.mktemp("cache")
        registry = parse_target("reference@2.8").launch(Settings(upstream_url=upstream.url), place)
        yield registry
        registry.stop()


def doctor_lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, str]]:
    assert main(["doctor", "--json", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    return {line["id"]: line for line in document["lines"]}


def test_an_image_answers_some_questions(
    cache: RunningRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = doctor_lines(capsys, "-t", f"url:{cache.url}", "--image", "library/app:v1")
    shown = {name: line["answer"] for name, line in lines.items() if line["answer"]}
    assert shown == {
        "login": "no",
        "digest-header": "yes",
        "range-cold": "no, 200",
        "range-warm": "yes, 206",
        "ns": "yes",
        "referrers": "no, 404",
        "absent": "no: 404, 500, 404",
    }
    assert "--upstream-at" in lines["stale"]["meaning"]
    assert "--allow-writes" in lines["push"]["meaning"]
    assert lines["range-cold"]["evidence"][0].startswith("GET /v2/library/app/blobs/sha256:")


def test_writes_need_allow_writes(
    cache: RunningRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = doctor_lines(capsys, "-t", f"url:{cache.url}", "--allow-writes")
    assert (lines["push"]["answer"], lines["delete"]["answer"]) == ("no, 405", "no, 405")
    assert "--image" in lines["ns"]["meaning"]


def test_a_required_login_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with MockUpstream(Basic("robot", "hunter2")) as registry:
        url = f"url:{registry.url}"
        assert main(["doctor", "-t", url]) == 2
        assert "requires a login (401); --login USER:PASSWORD" in capsys.readouterr().err
        lines = doctor_lines(capsys, "-t", url, "--login", "robot:hunter2")
    assert lines["login"]["answer"] == "yes, basic"
    assert "hunter2" not in json.dumps(lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-t", "nonsense"), "nonsense"),
        (("-t", "reference", "--image", "a:b"), "--image is for url:URL"),
        (("-t", "reference", "--login", "hunter2"), "--login: takes USER:PASSWORD"),
        ((), "Missing option '--target'"),
    ],
)
def test_misuse_is_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert "hunter2" not in said


@pytest.mark.parametrize("image", ["Upper", "library/app:no-such-tag"])
def test_an_image_that_cannot_be_used(
    image: str, cache: RunningRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "-t", f"url:{cache.url}", "--image", image]) == 2
    assert capsys.readouterr().err.count("\n") == 1
