"""Stories are data: they can be kept, read again, and know what cannot happen."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from harness.stateful.operations import OPERATIONS, Model, Operation
from harness.stateful.sequences import SequenceError, StepSequence, stories


@settings(max_examples=50, database=None, derandomize=True, deadline=None)
@given(stories())
def test_a_story_is_what_its_file_says(story: StepSequence) -> None:
    again = StepSequence.from_data(json.loads(story.render()))
    assert again.happening == story.happening
    assert again.render() == story.render()
    assert all(story.kind in OPERATIONS[one.do].kinds for one in story.operations)


def test_what_changes_nothing_does_not_happen() -> None:
    tag, untag = Operation("tag"), Operation("untag")
    down, up, heal = Operation("down"), Operation("up"), Operation("heal")
    operations = (untag, tag, up, untag, untag, heal, down, down, up)
    story = StepSequence("proxy", None, False, operations)
    assert story.happening == (tag, untag, down, up)


def test_removing_an_image_takes_its_tags_along() -> None:
    model = Model()
    assert not model.take(Operation("remove", image=1))
    model.take(Operation("tag", image=1))
    model.take(Operation("tag", image=2, tag=1))
    assert model.take(Operation("remove", image=1))
    assert not model.take(Operation("untag"))
    assert model.take(Operation("untag", tag=1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"kind": "mirror", "cache": null}', "kind is proxy or standard"),
        (
            '{"kind": "proxy", "cache": null, "delete_enabled": true, "operations": [{"do": "x"}]}',
            "is no operation",
        ),
        (
            '{"kind": "proxy", "cache": null, "delete_enabled": true,'
            ' "operations": [{"do": "mount"}]}',
            "mount does not happen to a proxy registry",
        ),
        (
            '{"kind": "proxy", "cache": null, "delete_enabled": true,'
            ' "operations": [{"do": "range"}]}',
            "detail is one of bytes=0-9",
        ),
    ],
)
def test_a_bad_file_is_told_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "story.json"
    file.write_text(text)
    with pytest.raises(SequenceError, match=said) as caught:
        StepSequence.read(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="No such file"):
        StepSequence.read(tmp_path / "story.json")


def test_every_operation_has_words() -> None:
    for name, sort in OPERATIONS.items():
        for detail in sort.details:
            assert "{" not in Operation(name, detail=detail).words()
