"""Two targets run the same sequences; where they differ, the smallest sequence is reported."""

from pathlib import Path
from typing import cast

import pytest

from harness.cli import main
from harness.compare.divergences import Divergence, read_known
from harness.compare.observation import Observation
from harness.stateful.pair import Execution, Pair, PairStep, render_execution, render_search, search
from harness.stateful.sequences import Operation, StepSequence
from harness.suite.catalogue import suite_directory
from harness.system.real_parts import missing_part
from harness.targets import TargetError, parse_target

SEED = 0
IN_CI = 200


def pair(left: str, right: str) -> Pair:
    return Pair(parse_target(left), parse_target(right), read_known(suite_directory()))


@pytest.mark.parametrize("part", range(4))
def test_ours_matches_the_real_one(part: int) -> None:
    """200 sequences, the same in every run; ``make stateful`` runs 2,000."""
    try:
        both = pair("reference@2.8", "binary:docker-registry")
    except TargetError as problem:
        missing_part(str(problem))
    result = search(both.run, IN_CI // 4, SEED + part)
    totals = render_search(result, both.left.name, both.right.name)
    print(totals)
    if result.found is not None:
        text = render_execution(result.found, both.left.name, both.right.name)
        pytest.fail(f"{totals}\n{text}\n{result.found.sequence.render()}", pytrace=False)
    assert result.ran == IN_CI // 4


def test_the_final_storage_is_compared() -> None:
    both = pair("reference@2.8", "reference@2.8")
    operations = (
        Operation("tag"),
        Operation("pull"),
        Operation("fault", detail="truncation"),
        Operation("get-blob", image=2, detail="layer"),
        Operation("restart"),
        Operation("collect"),
        Operation("later", detail="8 days"),
        Operation("catalog"),
    )
    execution = both.run(StepSequence("proxy", "inmemory", True, operations))
    assert execution.difference is None, render_execution(execution, "one", "other")
    last = execution.steps[-1]
    assert last.operation is None
    assert len(execution.steps) == len(operations) + 1
    assert last.left.disk
    assert last.left == last.right


def test_requests_to_upstream_are_compared() -> None:
    operations = (Operation("tag"), Operation("get-blob", detail="layer"))
    both = pair("reference@ideal", "reference@2.8")
    execution = both.run(StepSequence("proxy", None, False, operations))
    assert "upstream" in {one.step for step in execution.steps for one in step.unexplained}


# -- searching without a registry ----------------------------------------------------------------


def executed(sequence: StepSequence, *, differs: bool) -> Execution:
    found = Divergence("stateful", "GET /v2/", "status", 200, 404, 1)
    seen = Observation()
    return Execution(sequence, (PairStep(None, seen, seen, (found,) if differs else ()),))


def test_a_difference_is_made_smaller_until_the_time_is_up() -> None:
    def run(sequence: StepSequence) -> Execution:
        return executed(sequence, differs=any(one.do == "pull" for one in sequence.operations))

    found = search(run, 100, SEED).found
    assert found is not None
    assert [one.do for one in found.sequence.operations] == ["pull"]
    unshrunk = search(run, 100, SEED, shrinking=0).found
    assert unshrunk is not None
    assert len(unshrunk.sequence.operations) >= len(found.sequence.operations)


def test_a_difference_that_does_not_occur_again_is_flaky() -> None:
    runs = 0

    def run(sequence: StepSequence) -> Execution:
        nonlocal runs
        runs += 1
        return executed(sequence, differs=runs in {3, 9})

    result = search(run, 20, SEED)
    assert (result.found, result.ran) == (None, 20)
    assert render_search(result, "one", "other").splitlines() == [
        "20 sequences of seed 0 on one and other: no unexplained difference",
        "  FLAKY difference, 2 times, not when the sequence ran again: 1. GET /v2/: status",
    ]


# -- the command line ----------------------------------------------------------------------------


def test_a_sequence_is_found_saved_and_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sequence.json"
    command = ["stateful", "reference@3.1", "reference@2.8"]
    assert main([*command, "--sequences", "40", "--save", str(file)]) == 1
    said = capsys.readouterr().out
    assert f"--replay {file}" in said
    assert len(StepSequence.read(file).operations) <= 3
    assert main([*command, "--replay", str(file)]) == 1
    assert "They differ in " in capsys.readouterr().out
    assert main(["stateful", "reference@2.8", "reference@2.8", "--replay", str(file)]) == 0


def test_problems_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["stateful", "reference@2.8", "reference@2.8"]
    assert main([*command, "--replay", "absent.json"]) == 2
    assert "absent.json: No such file" in capsys.readouterr().err

    def breaks(*_: object) -> Execution:
        raise ConnectionResetError("the registry is gone")

    monkeypatch.setattr(Pair, "run", cast("object", breaks))
    assert main([*command, "--sequences", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("a sequence could not run to its end: the registry is gone")
