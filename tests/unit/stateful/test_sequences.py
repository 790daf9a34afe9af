"""Sequences are data: files, and the operations that have an effect."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from harness.stateful.sequences import (
    OPERATIONS,
    Operation,
    SequenceError,
    StepSequence,
    sequences,
)


@settings(max_examples=50, database=None, derandomize=True, deadline=None)
@given(sequences())
def test_a_file_holds_the_whole_sequence(sequence: StepSequence) -> None:
    read = StepSequence.from_data(json.loads(sequence.render()))
    assert read == sequence
    assert read.render() == sequence.render()
    assert all(sequence.kind in OPERATIONS[one.do].kinds for one in sequence.operations)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a sequence: not a JSON object"),
        ("{}", "not a sequence: key 'kind' is missing"),
        ('{"kind": "mirror", "cache": null}', "kind must be proxy or standard"),
        (
            '{"kind": "proxy", "cache": null, "delete_enabled": true, "operations": [{"do": "x"}]}',
            "is not an operation",
        ),
        (
            '{"kind": "proxy", "cache": null, "delete_enabled": true,'
            ' "operations": [{"do": "mount"}]}',
            "mount is not for a proxy registry",
        ),
        (
            '{"kind": "proxy", "cache": null, "delete_enabled": true,'
            ' "operations": [{"do": "range"}]}',
            "detail must be one of bytes=0-9",
        ),
    ],
)
def test_a_bad_file_is_reported_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "sequence.json"
    file.write_text(text)
    with pytest.raises(SequenceError, match=said) as caught:
        StepSequence.read(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="No such file"):
        StepSequence.read(tmp_path / "sequence.json")


def test_every_operation_has_words() -> None:
    for name, sort in OPERATIONS.items():
        for detail in sort.details:
            assert "{" not in Operation(name, detail=detail).words()
