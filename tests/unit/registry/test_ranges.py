"""Byte ranges and conditional requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.http.ranges import (
    ByteRange,
    RangeRefused,
    etag_matches,
    precondition_status,
    wanted_ranges,
)
from tests.support.requests import a_request


def _wanted(header: str, size: int, *, as_go: bool = False, **more: str) -> tuple[ByteRange, ...]:
    return wanted_ranges(a_request(range=header, **more), '"etag"', size, as_go=as_go)


def _refused(header: str, size: int, *, as_go: bool) -> bool:
    """Whether the ranges overlap the content, of a header that is refused."""
    with pytest.raises(RangeRefused) as refused:
        _wanted(header, size, as_go=as_go)
    return refused.value.overlaps


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=2-4", [(2, 3)]),
        ("bytes=7-", [(7, 3)]),
        ("bytes=-3", [(7, 3)]),
        ("bytes=-99", [(0, 10)]),
        ("bytes=0-99", [(0, 10)]),
        ("bytes=0-1,8-9", [(0, 2), (8, 2)]),
        ("bytes= 0 - 1 , 3-3", [(0, 2), (3, 1)]),
        ("bytes=0-1,,2-2", [(0, 2), (2, 1)]),
        ("bytes=0-1,99-", [(0, 2)]),
        ("bytes=", []),
        ("bytes=0-9,0-9", []),  # more than the whole
    ],
)
def test_ranges_of_ten_bytes(header: str, ranges: list[tuple[int, int]]) -> None:
    assert _wanted(header, 10) == tuple(ByteRange(*r) for r in ranges)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99-,50-60"])
def test_nothing_of_it_overlaps(header: str) -> None:
    assert not _refused(header, 10, as_go=False)
    assert not _refused(header, 10, as_go=True)


def test_an_empty_content_has_no_ranges() -> None:
    for header in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        assert not _refused(header, 0, as_go=False)


@pytest.mark.parametrize(
    "header",
    [
        "bytes",
        "lines=1-2",
        "Bytes=0-1",
        "bytes=x",
        "bytes=-",
        "bytes=1",
        "bytes=--1",
        "bytes=0-1-2",
        "bytes=+1-2",
        "bytes=1-0x2",
        "bytes=" + ",".join(["0-0"] * 65),
    ],
)
def test_not_a_range(header: str) -> None:
    assert _wanted(header, 10) == ()
    assert _refused(header, 10, as_go=True)


@pytest.mark.parametrize("digits", ["9" * 5000, str(1 << 63), "0" * 5000 + "9" * 20], ids=[1, 2, 3])
def test_numbers_beyond_any_size(digits: str) -> None:
    """Python refuses to read more than 4300 digits; Go reads 63 bits."""
    assert _wanted(f"bytes=2-{digits}", 10) == (ByteRange(2, 8),)
    assert _wanted(f"bytes=-{digits}", 10) == (ByteRange(0, 10),)
    assert not _refused(f"bytes={digits}-", 10, as_go=False)
    assert _refused(f"bytes=2-{digits}", 10, as_go=True)


def test_a_range_that_ends_before_it_begins() -> None:
    assert not _refused("bytes=500-0", 1000, as_go=False)
    assert _refused("bytes=500-0", 1000, as_go=True)


def test_requests_without_a_range() -> None:
    assert _wanted("", 10) == _wanted("bytes=0-1", 10, if_range='"other"') == ()
    assert _wanted("bytes=0-1", 10, method="HEAD") == ()
    assert _wanted("bytes=0-1", 10, method="HEAD", as_go=True) == (ByteRange(0, 2),)


def test_content_range() -> None:
    assert ByteRange(2, 3).content_range(10) == "bytes 2-4/10"


@given(st.integers(0, 50), st.text(alphabet="bytes=-,0123456789 ", max_size=20))
def test_parts_lie_within_the_content(size: int, specs: str) -> None:
    try:
        ranges = _wanted(f"bytes={specs}", size)
    except RangeRefused:
        return
    assert all(0 <= r.start < r.start + r.length <= size for r in ranges)
    assert sum(r.length for r in ranges) <= size


@pytest.mark.parametrize(
    ("header", "weak", "matches"),
    [
        ('"a"', True, True),
        ('W/"a"', True, True),
        ('W/"a"', False, False),
        ('"b", "a"', True, True),
        ("*", False, True),
        ("a", True, False),
        ('"b"', True, False),
        ("", True, False),
    ],
)
def test_entity_tags(header: str, weak: bool, matches: bool) -> None:
    assert etag_matches(header, '"a"', weak=weak) is matches


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"if_none_match": '"a"'}, 304),
        ({"if_none_match": '"b"'}, None),
        ({"if_match": '"a"'}, None),
        ({"if_match": '"b"'}, 412),
        ({"if_match": 'W/"a"'}, 412),
        ({"if_match": '"b"', "if_none_match": '"a"'}, 412),
    ],
)
def test_preconditions(headers: dict[str, str], status: int | None) -> None:
    assert precondition_status(a_request(**headers), '"a"') == status
