"""What differs between two observations, and which entry explains it."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.compare.data import EntryFileError, from_data, to_data
from harness.compare.divergences import (
    ABSENT,
    Comparison,
    Divergence,
    Known,
    compared,
    divergences,
    read_known,
    stale,
)
from harness.compare.observation import Observation, Step

BASE = Step("GET /v2/", {}, 200, {"content-length": "2"}, "{}")
TAG = Step("GET /v2/a/manifests/v1", {}, 200, {"etag": '"x"'}, "manifest")
KNOWN = Known(
    scenarios=("demo.one",),
    step="GET /v2/*",
    field="header etag",
    targets=("left", "right"),
    reason="one quotes it",
    reference="RFC 9110, 8.8.3",
)


def seen(*steps: Step, **sides: dict[str, int] | dict[str, str]) -> Observation:
    return Observation(steps=steps, **sides)  # type: ignore[arg-type]


def test_an_observation_does_not_differ_from_itself() -> None:
    whole = seen(BASE, TAG, upstream={"GET /v2/ -> 200": 1}, disk={"f": "x"}, state={"k": "v"})
    assert divergences("demo.one", whole, from_data(Observation, to_data(whole))) == []


@pytest.mark.parametrize(
    ("change", "field", "left", "right"),
    [
        ({"status": 404}, "status", 200, 404),
        ({"body": "other"}, "body", "manifest", "other"),
        ({"error": "reset"}, "error", ABSENT, "reset"),
        ({"headers": {}}, "header etag", '"x"', ABSENT),
        ({"headers": {"etag": '"x"', "age": "1"}}, "header age", ABSENT, "1"),
    ],
)
def test_each_field_of_an_answer_counts(
    change: dict[str, object], field: str, left: object, right: object
) -> None:
    other = replace(TAG, **change)  # type: ignore[arg-type]
    found = divergences("demo.one", seen(BASE, TAG), seen(BASE, other))
    assert found == [Divergence("demo.one", TAG.request, field, left, right, number=2)]


def test_of_long_texts_the_differing_part_is_shown() -> None:
    words = [f"{before}{value}{'z' * 900}" for before in ["a" * 900] for value in ("200", "404")]
    steps = [replace(TAG, body=f"<{n}>", whole={"body": text}) for n, text in enumerate(words)]
    (found,) = divergences("demo.one", seen(steps[0]), seen(steps[1]))
    around = "a" * 100, "z" * 100
    assert found.left == f"… {around[0]}200{around[1]} …"
    assert found.right == f"… {around[0]}404{around[1]} …"
    recorded = replace(steps[1], whole={})
    (found,) = divergences("demo.one", seen(steps[0]), seen(recorded))
    assert (found.left, found.right) == ("<0>", "<1>")


def test_one_additional_request_does_not_shift_the_rest() -> None:
    ping = replace(BASE, request="GET /v2/?again")
    found = divergences("demo.one", seen(BASE, TAG), seen(BASE, ping, TAG))
    assert [(one.step, one.left, one.right) for one in found] == [(ping.request, ABSENT, "200")]


def test_sides_are_compared_by_name() -> None:
    left = seen(upstream={"GET /a -> 200": 2, "GET /b -> 200": 1}, disk={"x": "1"})
    right = seen(upstream={"GET /a -> 200": 1}, state={"k": "blob"})
    assert [
        (one.step, one.field, one.left, one.right) for one in divergences("s", left, right)
    ] == [
        ("upstream", "GET /a -> 200", 2, 1),
        ("upstream", "GET /b -> 200", 1, ABSENT),
        ("disk", "x", "1", ABSENT),
        ("state", "k", ABSENT, "blob"),
    ]


def test_a_divergence_is_described_with_both_sides() -> None:
    text = Divergence("demo.one", "GET /v2/", "status", 200, 404, number=3).describe("ours", "real")
    assert text.splitlines() == [
        "demo.one: 3. GET /v2/: status",
        "    ours  200",
        "    real  404",
    ]


# -- what is known -------------------------------------------------------------------------------


def of(scenario: str, *found: Divergence, known: Known = KNOWN) -> Comparison:
    return compared(scenario, "left", "right", found, [known])


ETAG = Divergence("demo.one", TAG.request, "header etag", "x", "y", 1)


def test_an_entry_explains_what_it_names_and_nothing_else() -> None:
    status = replace(ETAG, field="status")
    comparison = of("demo.one", ETAG, status)
    assert comparison.explained == ((ETAG, KNOWN),)
    assert comparison.unexplained == (status,)


@pytest.mark.parametrize(
    "other",
    [
        {"scenarios": ("demo.two",)},
        {"targets": ("left", "middle")},
        {"step": "HEAD *"},
        {"field": "body"},
    ],
)
def test_an_entry_for_something_else_explains_nothing(other: dict[str, object]) -> None:
    known = replace(KNOWN, **other)  # type: ignore[arg-type]
    assert of("demo.one", ETAG, known=known).unexplained == (ETAG,)


def test_an_id_applies_to_all_cases() -> None:
    assert of("demo.one[tag]", replace(ETAG, scenario="demo.one[tag]")).unexplained == ()


def test_an_entry_that_explains_nothing_is_stale() -> None:
    assert stale([KNOWN], [of("demo.one", ETAG)]) == []
    assert stale([KNOWN], [of("demo.two")]) == []  # it was not compared
    assert "remove it" in stale([KNOWN], [of("demo.one")])[0]


def test_one_case_that_differs_keeps_the_entry_for_all_of_them() -> None:
    differs = of("demo.one[a]", replace(ETAG, scenario="demo.one[a]"))
    assert stale([KNOWN], [of("demo.one[b]"), differs]) == []


def test_an_entry_by_chance_is_never_stale() -> None:
    assert stale([replace(KNOWN, by_chance=True)], [of("demo.one")]) == []


# -- the file ------------------------------------------------------------------------------------

ENTRY = """
[[divergence]]
scenarios = ["demo.one"]
step = "GET /v2/*"
field = "header etag"
targets = ["left", "right"]
reason = "one quotes it"
reference = "RFC 9110, 8.8.3"
"""


def test_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "divergences.toml").write_text(ENTRY)
    assert read_known(tmp_path) == (KNOWN,)
    assert read_known(tmp_path / "elsewhere") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENTRY.replace("step", "stop"), "missing or unknown keys: step, stop"),
        (ENTRY.replace('["left", "right"]', '["left"]'), "targets must name two targets"),
        (ENTRY.replace('["demo.one"]', '"demo.one"'), "scenarios must be a list"),
        (ENTRY.replace('"one quotes it"', '" "'), "reason must be a string"),
        (ENTRY.replace("demo.one", "demo.*"), "demo.* could hide anything"),
        (ENTRY + "by_chance = 1\n", "by_chance must be true or false"),
        ("[[divergense]]\n", "unknown key 'divergense'"),
        ("[[", "fix the TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "divergences.toml").write_text(text)
    with pytest.raises(EntryFileError, match=r"divergences\.toml") as caught:
        read_known(tmp_path)
    assert expected in str(caught.value)
