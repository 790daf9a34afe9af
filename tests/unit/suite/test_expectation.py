"""What an expectation records, and how values become data."""

from pathlib import PurePosixPath

import pytest

from harness.suite.expectation import (
    Expectations,
    any_of,
    as_data,
    at_least,
    at_most,
    containing,
    matching,
    present,
)


def test_a_mismatch_is_recorded_and_does_not_end_the_scenario() -> None:
    expect = Expectations()
    assert not expect.client("status", 200, 404)
    assert expect.upstream("requests", (), ())
    assert [f.key for f in expect.findings] == ["client: status", "upstream: requests"]
    assert expect.mismatches() == {"client: status": 200}


def test_the_same_check_twice_is_an_error() -> None:
    expect = Expectations()
    expect.disk("files", [], [])
    with pytest.raises(ValueError, match="checks disk: files twice"):
        expect.disk("files", [], [])


@pytest.mark.parametrize(
    ("matcher", "met", "missed"),
    [
        (any_of(404, 401), 401, 200),
        (at_least(2), 2, 1),
        (at_most(2), 2, 3),
        (containing("a"), ["a", "b"], ["b"]),
        (containing("ab"), "cabd", "cad"),
        (matching(r"\d+ blobs"), "12 blobs", "12 blobs more"),
        (present, "", None),
    ],
)
def test_matchers(matcher: object, met: object, missed: object) -> None:
    expect = Expectations()
    assert expect.client("met", met, matcher)
    assert not expect.client("missed", missed, matcher)
    assert expect.findings[0].expected == repr(matcher)


def test_a_missing_number_satisfies_no_bound() -> None:
    assert not Expectations().client("count", None, at_least(0))


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, "absent"),
        ({"b", "a"}, ["a", "b"]),
        ((1, (2, None)), [1, [2, "absent"]]),
        ({PurePosixPath("a/b"): b"text"}, {"a/b": "text"}),
        (b"\xff\xfe", "<2 bytes>"),
        (True, True),
    ],
)
def test_values_become_data_that_toml_can_hold(value: object, data: object) -> None:
    assert as_data(value) == data
