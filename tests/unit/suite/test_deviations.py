"""Verdicts: strict in both directions."""

import tomllib
from pathlib import Path

import pytest

from harness.compare.data import EntryFileError
from harness.suite.deviations import (
    Deviation,
    DeviationFile,
    Difference,
    Judgement,
    Verdict,
    suggest_entry,
)
from harness.suite.expectation import Expectations, Finding

KNOWN = Deviation(
    scenario="head.blob",
    implementation="distribution",
    versions=("2.8", "3.0"),
    does="downloads the blob",
    reference="measured",
    observed={"upstream: bodies": 2},
)


def looks(status: int, bodies: int) -> list[Finding]:
    expect = Expectations()
    expect.client("status", status, 200)
    expect.upstream("bodies", bodies, 0)
    return expect.findings


def judge(
    findings: list[Finding],
    *,
    version: str = "2.8",
    implementation: str = "distribution",
    scenario: str = "head.blob",
    differences: tuple[Difference, ...] = (),
    target: str = "docker-registry",
) -> Judgement:
    return DeviationFile((KNOWN,), differences).judge(
        scenario, findings, target=target, implementation=implementation, version=version
    )


def test_a_claim_that_is_met_holds() -> None:
    assert judge(looks(200, 0), implementation="pullproof", version="ideal").verdict is (
        Verdict.HOLDS
    )


def test_exactly_what_is_listed_is_a_known_deviation() -> None:
    judgement = judge(looks(200, 2))
    assert judgement.verdict is Verdict.DEVIATES
    assert judgement.deviation is KNOWN


@pytest.mark.parametrize(
    ("findings", "problem"),
    [
        (looks(200, 0), "listed as a deviation, but saw 0 as the claim says"),
        (looks(200, 1), "listed as 2, but saw 1"),
        (looks(500, 2), "client: status: expected 200, but saw 500"),
        (looks(200, 2)[:1], "upstream: bodies: listed, but this scenario does not check it"),
    ],
    ids=["no longer happens", "otherwise than listed", "more than listed", "not looked at"],
)
def test_anything_else_fails(findings: list[Finding], problem: str) -> None:
    judgement = judge(findings)
    assert judgement.verdict is Verdict.FAILS
    assert problem in "\n".join(judgement.problems)


def test_an_entry_applies_only_to_its_versions() -> None:
    assert judge(looks(200, 2), version="3.1").verdict is Verdict.FAILS


def test_an_entry_for_a_scenario_applies_to_its_cases() -> None:
    assert judge(looks(200, 2), scenario="head.blob[cached]").verdict is Verdict.DEVIATES


def test_a_difference_overrides_one_finding_on_one_target() -> None:
    old_go = Difference("head.blob", "docker-registry", "client: status", 206, "an old Go")
    assert judge(looks(206, 2), differences=(old_go,)).verdict is Verdict.DEVIATES
    assert judge(looks(206, 2), differences=(old_go,)).excused == ("client: status",)
    elsewhere = judge(looks(206, 2), differences=(old_go,), target="reference@2.8")
    assert elsewhere.verdict is Verdict.FAILS


def test_a_difference_that_no_longer_occurs_fails() -> None:
    old_go = Difference("head.blob", "docker-registry", "client: status", 206, "an old Go")
    assert judge(looks(200, 2), differences=(old_go,)).verdict is Verdict.FAILS


def test_a_difference_may_restore_the_claimed_value() -> None:
    fixed = Difference("head.blob", "docker-registry", "upstream: bodies", 0, "patched by Debian")
    assert judge(looks(200, 0), differences=(fixed,)).verdict is Verdict.HOLDS


def test_the_suggested_entry_can_be_read_back(tmp_path: Path) -> None:
    text = suggest_entry("a.b", "distribution", "2.8", {"client: status": 200, "disk: files": []})
    entry = tomllib.loads(text)["deviation"][0]
    assert entry["observed"] == {"client: status": 200, "disk: files": []}
    (tmp_path / "deviations.toml").write_text(text)
    assert DeviationFile.beside(tmp_path).deviations[0].versions == ("2.8",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[deviation", "fix the TOML"),
        ("[other]\n", "unknown key 'other'"),
        ('[[deviation]]\nscenario = "a.b"\nobserve = 1\n', "entry for 'a.b' has missing or"),
        ('[[deviation]]\nscenario = "a.b"\ncases."a.c" = {}\n', "with cases also has 'scenario'"),
        ("[[deviation]]\ncases = {}\n", "cases {} is not a table"),
        ('[[deviation]]\ncases."a.c" = {}\n', "entry for 'a.c' has missing or"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "deviations.toml").write_text(text)
    with pytest.raises(EntryFileError, match=r"deviations\.toml.*") as raised:
        DeviationFile.beside(tmp_path)
    assert message in str(raised.value)


CAUSE = """
[[deviation]]
implementation = "other"
versions = ["1.0"]
does = "ignores Range"
reference = "measured"
[deviation.cases]
"range.a[open]" = { "client: status" = 200 }
"range.b" = { "client: status" = 200, "client: bytes" = 9 }
"""


def test_one_cause_lists_what_is_observed_in_each_of_its_cases(tmp_path: Path) -> None:
    (tmp_path / "deviations").mkdir()
    (tmp_path / "deviations" / "other.toml").write_text(CAUSE)
    first, second = DeviationFile.beside(tmp_path).deviations
    assert (first.scenario, first.observed) == ("range.a[open]", {"client: status": 200})
    assert second.observed == {"client: status": 200, "client: bytes": 9}
    assert first.does == second.does == "ignores Range"


def test_a_file_of_one_implementation_lists_no_other(tmp_path: Path) -> None:
    (tmp_path / "deviations").mkdir()
    (tmp_path / "deviations" / "drayage.toml").write_text(CAUSE)
    with pytest.raises(EntryFileError, match=r"'range\.a\[open\]' is about 'other'; this"):
        DeviationFile.beside(tmp_path)


def test_two_entries_for_one_release_are_refused() -> None:
    with pytest.raises(EntryFileError, match="merge them"):
        DeviationFile((KNOWN, KNOWN)).judge(
            "head.blob",
            looks(200, 2),
            target="t",
            implementation="distribution",
            version="2.8",
        )
