"""The schedule as data and its file, which must read and write as distribution's does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.digest import Digest
from reference_registry.proxy.expiry.schedule import (
    BLOB,
    MANIFEST,
    ZERO,
    GoTime,
    Schedule,
    ScheduleEntry,
    StateUnreadable,
    parse_state,
    render_state,
)

A = Digest("sha256:" + "a" * 64)
B = Digest("sha256:" + "b" * 64)
NOON = GoTime.of(datetime(2026, 11, 24, 12, tzinfo=UTC))


def later(seconds: int) -> GoTime:
    return GoTime(NOON.nanoseconds + seconds * 10**9)


def entry(
    name: str = "team/app", digest: Digest = A, kind: int = BLOB, seconds: int = 0
) -> ScheduleEntry:
    return ScheduleEntry.of(name, digest, kind, later(seconds))


def reread(content: str) -> str:
    schedule = parse_state(content.encode())
    assert schedule is not None
    return render_state(schedule.snapshot()).decode()


# -- moments ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("2026-11-24T04:06:01.205119418Z", None),
        ("2026-11-24T04:06:01Z", None),
        ("2999-01-01T00:00:00.120Z", "2999-01-01T00:00:00.12Z"),
        ("2999-01-01T02:00:00+02:00", None),
        ("2999-01-01T02:00:00.5-09:30", None),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59.999999999Z", None),
        ("2026-11-24T04:06:01.1234567891234Z", "2026-11-24T04:06:01.123456789Z"),
    ],
)
def test_moments_keep_their_text(text: str, rendered: str | None) -> None:
    assert str(GoTime.parse(text)) == (rendered or text)


@pytest.mark.parametrize(
    "text", ["", "bad", "2026-11-24", "2026-11-24T04:06:01", "2026-13-01T00:00:00Z", "٢026-11-24T0"]
)
def test_invalid_times(text: str) -> None:
    with pytest.raises(ValueError):
        GoTime.parse(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_of_datetimes(moment: datetime) -> None:
    assert GoTime.of(moment).as_datetime() == moment
    assert GoTime.parse(str(GoTime.of(moment))) == GoTime.of(moment)


def test_a_moment_as_datetime_is_never_too_early() -> None:
    moment = GoTime.parse("2026-11-24T00:00:00.000000001Z")
    assert moment.as_datetime() == datetime(2026, 11, 24, microsecond=1, tzinfo=UTC)


def test_moments_beyond_datetime() -> None:
    assert GoTime.parse("9999-12-31T23:59:59.9999999Z").as_datetime().year == 9999
    assert GoTime.parse("0001-01-01T00:00:00+14:00").as_datetime().year == 1


# -- the file --------------------------------------------------------------------------------------
def test_the_file() -> None:
    """9.1 of what was measured."""
    schedule = Schedule()
    schedule.add(entry("b/app", kind=MANIFEST, seconds=1))
    schedule.add(entry("a/app"))
    assert render_state(schedule.snapshot()).decode() == (
        f'{{"a/app@{A}":{{"Key":"a/app@{A}","ExpiryData":"2026-11-24T12:00:00Z","EntryType":0}},'
        f'"b/app@{A}":{{"Key":"b/app@{A}","ExpiryData":"2026-11-24T12:00:01Z","EntryType":1}}}}'
    )


def test_what_2_8_2_wrote_is_written_again() -> None:
    """Byte for byte, entries that make no sense included."""
    content = (
        '{"lt\\u003c\\u0026\\u003e":{"Key":"team/zz@sha256:' + "a" * 64 + '",'
        '"ExpiryData":"2999-01-01T00:00:00.12Z","EntryType":0},'
        '"team/neg":{"Key":"","ExpiryData":"2999-01-01T02:00:00+02:00","EntryType":-1}}'
    )
    assert reread(content) == content


@pytest.mark.parametrize(
    ("content", "rendered"),
    [
        ('{"a":{}}', '{"a":{"Key":"","ExpiryData":"0001-01-01T00:00:00Z","EntryType":0}}'),
        (
            '{"a":{"key":"k","EXPIRYDATA":"2999-01-01T00:00:00Z","entryType":1,"extra":[]}}',
            '{"a":{"Key":"k","ExpiryData":"2999-01-01T00:00:00Z","EntryType":1}}',
        ),
        (
            '{"a":{"Key":"k","Expiry":"2999-01-01T00:00:00Z"}}',
            '{"a":{"Key":"k","ExpiryData":"0001-01-01T00:00:00Z","EntryType":0}}',
        ),
        (
            '{"a":{"Key":null,"ExpiryData":null,"EntryType":null}}',
            '{"a":{"Key":"","ExpiryData":"0001-01-01T00:00:00Z","EntryType":0}}',
        ),
        (" {} ", "{}"),
    ],
)
def test_reading_as_go_reads(content: str, rendered: str) -> None:
    assert reread(content) == rendered


def test_null_is_not_a_schedule() -> None:
    assert parse_state(b"null") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"a":{}',
        '{"a":{}} x',
        "[]",
        '{"a":5}',
        '{"a":{"Key":5}}',
        '{"a":{"EntryType":"0"}}',
        '{"a":null}',
        '{"a":{"ExpiryData":"bad"}}',
        "[" * 100_000,
        "\x00",
    ],
)
def test_damage(content: str) -> None:
    """2.8.2 panics with these."""
    with pytest.raises(StateUnreadable):
        parse_state(content.encode())


def test_bytes_that_are_not_text() -> None:
    with pytest.raises(StateUnreadable):
        parse_state(b"\xff\xfe{")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=12), children, max_size=3)
    ),
    max_leaves=10,
)


@given(
    st.binary(max_size=60)
    | json_values.map(lambda v: json.dumps(v).encode())
    | st.dictionaries(
        st.text(max_size=5),
        st.dictionaries(st.sampled_from(["Key", "ExpiryData", "EntryType"]), json_values),
        max_size=3,
    ).map(lambda v: json.dumps(v).encode())
)
def test_any_file_is_a_schedule_or_damaged(content: bytes) -> None:
    try:
        schedule = parse_state(content)
    except StateUnreadable:
        return
    if schedule is not None:
        again = parse_state(render_state(schedule.snapshot()))
        assert again is not None
        assert len(again) == len(schedule)


moments = st.datetimes(timezones=st.just(UTC)).map(GoTime.of)
entries = st.builds(ScheduleEntry, st.text(max_size=30), moments, st.integers(-5, 5))


@given(st.dictionaries(st.text(max_size=30), entries, max_size=5))
def test_what_is_written_is_read_back(written: dict[str, ScheduleEntry]) -> None:
    schedule = parse_state(render_state(written))
    assert schedule is not None
    assert schedule.snapshot() == written


# -- the schedule ----------------------------------------------------------------------------------
def test_entries_are_due_at_their_moment_earliest_first() -> None:
    schedule = Schedule()
    for name, seconds in (("b", 2), ("a", 1), ("c", 3)):
        schedule.add(entry(name, seconds=seconds))
    assert schedule.next_moment() == later(1)
    assert schedule.due(NOON) == []
    assert [e.key[0] for e in schedule.due(later(2))] == ["a", "b"]
    assert schedule.due(later(2)) == []
    assert schedule.next_moment() == later(3)
    assert len(schedule) == 3


def test_one_key_has_one_entry() -> None:
    """9.2: the later one, whatever its kind."""
    schedule = Schedule()
    schedule.add(entry(seconds=1))
    schedule.add(entry(kind=MANIFEST, seconds=5))
    assert [e.kind for e in schedule] == [MANIFEST]
    assert schedule.due(later(4)) == []
    assert schedule.next_moment() == later(5)


def test_what_was_rescheduled_is_not_removed() -> None:
    schedule = Schedule()
    schedule.add(entry(seconds=1))
    (old,) = schedule.due(later(1))
    schedule.add(entry(seconds=9))
    schedule.remove(old)
    assert [e.moment for e in schedule] == [later(9)]
    schedule.remove(entry(seconds=9))
    assert len(schedule) == 0
    assert schedule.next_moment() is None


def test_an_entry_under_a_foreign_key_is_due_once_and_stays() -> None:
    """9.12: removal goes by the Key field."""
    schedule = Schedule({"foreign": entry()})
    (due,) = schedule.due(NOON)
    schedule.remove(due)
    assert schedule.snapshot() == {"foreign": entry()}
    assert schedule.due(later(100)) == []


def test_others_that_hold_a_digest() -> None:
    schedule = Schedule()
    first, second = entry("one"), entry("two")
    schedule.add(first)
    assert not schedule.holds(A, besides=first)
    schedule.add(second)
    assert schedule.holds(A, besides=first)
    assert not schedule.holds(B, besides=first)
    schedule.remove(second)
    assert not schedule.holds(A, besides=first)


def test_tidying() -> None:
    good = entry()
    schedule = Schedule(
        {
            "wrong": good,
            "team/app:v1": ScheduleEntry("team/app:v1", NOON, BLOB),
            "../x": ScheduleEntry(f"../x@{A}", NOON, BLOB),
            "odd": ScheduleEntry(f"odd@{A}", NOON, 7),
            "none": ScheduleEntry("", ZERO, BLOB),
        }
    )
    tidy, problems = schedule.tidied()
    assert tidy.snapshot() == {good.key: good}
    assert len(problems) == 4


@pytest.mark.parametrize(
    "key", ["", "a", f"@{A}", f"A@{A}", "a@sha256:abc", f"a/../b@{A}", f"a@{A}x"]
)
def test_keys_that_name_nothing(key: str) -> None:
    assert ScheduleEntry(key, NOON, BLOB).target() is None


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 20), st.booleans()),
        max_size=30,
    )
)
def test_the_queue_agrees_with_a_plain_search(steps: list[tuple[str, int, bool]]) -> None:
    schedule, plain = Schedule(), dict[str, ScheduleEntry]()
    for name, seconds, remove in steps:
        if remove and name in plain:
            schedule.remove(plain.pop(name))
        else:
            plain[name] = entry(name, seconds=seconds)
            schedule.add(plain[name])
        earliest = min((e.moment for e in plain.values()), default=None)
        assert schedule.next_moment() == earliest
    due = {e.key for e in schedule.due(later(10))}
    assert due == {e.key for e in plain.values() if e.moment <= later(10)}


def test_ttl_is_added_in_full() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=48)
    assert str(GoTime.of(moment)) == "2026-01-03T00:00:00Z"
