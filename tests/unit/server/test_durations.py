"""Go's duration syntax, both ways."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.config.units import (
    format_duration,
    from_nanoseconds,
    parse_duration,
    short_duration,
    suggested_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("48h", 172800),
        ("1h30m", 5400),
        ("-5s", -5),
        ("+5s", 5),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1),
        ("250ms", 0.25),
        ("3us", 0.000003),
        ("3µs", 0.000003),
        ("3μs", 0.000003),
        ("0", 0),
        ("-0", 0),
        ("0h", 0),
        ("1h1h", 7200),
    ],
)
def test_durations_of_go(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "1d", "5 s", " 5s", "5s ", "1e3s", "h1", "1,5s", "٣s", "--5s", "1h30", "9" * 70],
)
def test_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_longest() -> None:
    assert parse_duration("2562047h47m16.854775807s") == timedelta(
        hours=2562047, minutes=47, seconds=16, microseconds=854775
    )
    with pytest.raises(ValueError, match="longer than 292 years"):
        parse_duration("2562048h")


@pytest.mark.parametrize("nanoseconds", [1, 10, 999])
def test_nanoseconds_are_rounded_up(nanoseconds: int) -> None:
    assert parse_duration(f"{nanoseconds}ns") == timedelta(microseconds=1)
    assert from_nanoseconds(-nanoseconds) == timedelta(microseconds=-1)


@given(st.timedeltas(min_value=timedelta(days=-90_000), max_value=timedelta(days=90_000)))
def test_round_trip(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(hours=1), "1h0m0s"),
        (timedelta(minutes=2), "2m0s"),
        (timedelta(seconds=1.5), "1.5s"),
        (timedelta(milliseconds=250), "250ms"),
        (timedelta(microseconds=7), "7µs"),
        (timedelta(seconds=-5), "-5s"),
    ],
)
def test_as_go_prints(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@pytest.mark.parametrize(
    "text", ["168h", "1h30m", "1h0.5s", "10m", "10s", "90ms", "1h1s", "20h", "0s"]
)
def test_short_form(text: str) -> None:
    assert short_duration(parse_duration(text)) == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1d", "24h"),
        ("2 days", "48h"),
        ("1w", "168h"),
        ("10", "10s"),
        ("5 s", "5s"),
        ("3 minutes", "3m"),
        ("soon", None),
        ("5 parsecs", None),
    ],
)
def test_suggestions(text: str, meant: str | None) -> None:
    assert suggested_duration(text) == meant
    if meant is not None:
        parse_duration(meant)
