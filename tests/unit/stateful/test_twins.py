"""Two targets live through the same stories; where they are not alike, the smallest one is told."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.compare.divergences import read_known
from harness.stateful.operations import Operation
from harness.stateful.pair import Pair, search
from harness.stateful.render import tell, tell_search
from harness.stateful.sequences import StepSequence
from harness.system.real_parts import missing_part
from harness.targets import TargetError, parse_target

SCENARIOS = Path(__file__).parents[3] / "scenarios"
SEED = 0
IN_CI = 200

Make = Callable[[str, str], Pair]


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Make]:
    made: list[Pair] = []

    def make(left: str, right: str) -> Pair:
        one = Pair(
            parse_target(left),
            parse_target(right),
            read_known(SCENARIOS),
            tmp_path / f"twins-{len(made)}",
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.__exit__()


@pytest.mark.parametrize("part", range(4))
def test_ours_is_like_the_real_one(part: int, twins: Make) -> None:
    """200 sequences, the same in every run; ``make stateful`` plays 2,000."""
    try:
        both = twins("reference@2.8", "binary:docker-registry")
    except TargetError as problem:
        missing_part(str(problem))
    found = search(both.play, IN_CI // 4, SEED + part)
    told = tell_search(found, both.left.name, both.right.name)
    print(told)
    if found.found is not None:
        conversation = tell(found.found, both.left.name, both.right.name)
        pytest.fail(f"{told}\n{conversation}\n{found.found.story.render()}", pytrace=False)
    assert found.played == IN_CI // 4


def test_another_release_is_found_out(twins: Make) -> None:
    """It can fail: a few sequences tell 3.1 from 2.8, and the story is small."""
    both = twins("reference@3.1", "reference@2.8")
    found = search(both.play, 40, SEED)
    assert found.found is not None, tell_search(found, "3.1", "2.8")
    assert found.played < 40
    assert len(found.found.story.happening) <= 3
    conversation = tell(found.found, both.left.name, both.right.name)
    assert "They differ in " in conversation
    assert "reference@3.1" in conversation


def test_what_upstream_was_asked_is_compared_too(twins: Make) -> None:
    both = twins("reference@ideal", "reference@2.8")
    story = StepSequence(
        "proxy", None, False, (Operation("tag"), Operation("get-blob", detail="layer"))
    )
    playing = both.play(story)
    steps = {one.step for act in playing.acts for one in act.unexplained}
    assert "upstream" in steps


def test_storage_is_compared_at_the_end(twins: Make) -> None:
    """2.8's garbage collection of a cache takes blobs that no manifest names; a target alone with
    itself differs in nothing."""
    both = twins("reference@2.8", "reference@2.8")
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
    playing = both.play(StepSequence("proxy", "inmemory", True, operations))
    assert playing.difference is None, tell(playing, "one", "other")
    last = playing.acts[-1]
    assert last.operation is None
    assert len(playing.acts) == len(operations) + 1
    assert last.left.disk
    assert last.left == last.right


def test_command_line_plays_and_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = tmp_path / "story.json"
    command = ["stateful", "reference@3.1", "reference@2.8"]
    assert main([*command, "--sequences", "40", "--save", str(story)]) == 1
    said = capsys.readouterr().out
    assert f"--replay {story}" in said
    assert main([*command, "--replay", str(story)]) == 1
    assert "They differ in " in capsys.readouterr().out
    assert main(["stateful", "reference@2.8", "reference@2.8", "--replay", str(story)]) == 0


def test_command_line_tells_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["stateful", "reference@2.8", "reference@2.8", "--replay", "absent.json"]
    assert main(arguments) == 2
    assert "absent.json: No such file" in capsys.readouterr().err
