"""Processes that write one schedule, each on top of what it finds: nothing is lost or undone."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from reference_registry.digest import Digest
from reference_registry.proxy.blobs.stall_timeout import Patience
from reference_registry.proxy.expiry.go_time import GoTime
from reference_registry.proxy.expiry.journal import Journal
from reference_registry.proxy.expiry.schedule import BLOB, Entry, Schedule

DIGESTS = [Digest(f"sha256:{number:064x}") for number in range(4)]
KEY = f"app@{DIGESTS[0]}"


def entry(second: int, number: int = 0) -> Entry:
    return Entry.of("app", DIGESTS[number], BLOB, GoTime(second * 10**9))


def journal(*changes: tuple[Entry | None, Entry | None]) -> Journal:
    made = Journal()
    for before, after in changes:
        made.record(KEY, before, after)
    return made


OLD, MINE, THEIRS, LATER = entry(1), entry(2), entry(3), entry(4)


def test_what_was_added_is_added_to_what_others_wrote() -> None:
    other = entry(9, number=1)
    changed = journal((None, MINE)).applied_to({other.key: other})
    assert changed == {other.key: other, KEY: MINE}


def test_what_was_removed_goes() -> None:
    assert journal((OLD, None)).applied_to({KEY: OLD}) == {}
    assert journal((OLD, None)).applied_to({}) == {}


def test_what_another_has_cached_anew_is_not_removed() -> None:
    assert journal((OLD, None)).applied_to({KEY: THEIRS}) == {KEY: THEIRS}


def test_of_two_that_both_have_cached_it_the_later_counts() -> None:
    assert journal((OLD, MINE)).applied_to({KEY: THEIRS}) == {KEY: THEIRS}
    assert journal((OLD, LATER)).applied_to({KEY: THEIRS}) == {KEY: LATER}


def test_an_earlier_end_replaces_what_was_known() -> None:
    """A new ttl may be shorter than the old one."""
    assert journal((LATER, MINE)).applied_to({KEY: LATER}) == {KEY: MINE}


def test_changes_follow_each_other() -> None:
    again = journal((OLD, None), (None, MINE))
    assert again.applied_to({KEY: OLD}) == {KEY: MINE}
    gone = journal((OLD, MINE), (MINE, None))
    for found in (OLD, MINE):
        assert gone.applied_to({KEY: found}) == {}
    assert gone.applied_to({KEY: THEIRS}) == {KEY: THEIRS}


def test_a_write_that_failed_is_repeated_with_what_came_since() -> None:
    """Whether or not it had got through to the file."""
    failed = journal((OLD, MINE))
    failed.append(journal((MINE, None)))
    for found in (OLD, MINE):
        assert failed.applied_to({KEY: found}) == {}


@dataclasses.dataclass
class Process:
    """What one process knows and has not written yet."""

    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    journal: Journal = dataclasses.field(default_factory=Journal)

    def add(self, added: Entry) -> None:
        self.journal.record(added.key, self.schedule.get(added.key), added)
        self.schedule.add(added)

    def write(self, file: dict[str, Entry]) -> dict[str, Entry]:
        written = self.journal.applied_to(file)
        self.journal = Journal()
        self.schedule.become(written)
        return written


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.none() | st.integers(0, 3)),
        max_size=30,
    )
)
def test_everything_that_was_cached_is_in_the_file(steps: list[tuple[int, int | None]]) -> None:
    """Three processes add (a number) and write (None) in any order; time goes on."""
    processes = [Process() for _ in range(3)]
    file: dict[str, Entry] = {}
    latest: dict[str, Entry] = {}
    for second, (index, number) in enumerate(steps):
        if number is None:
            file = processes[index].write(file)
        else:
            added = entry(second, number)
            processes[index].add(added)
            latest[added.key] = added
    for process in processes:
        file = process.write(file)
    assert file == latest


def test_a_schedule_becomes_what_is_written() -> None:
    schedule = Schedule({KEY: OLD})
    assert schedule.due(OLD.moment) == [OLD]
    schedule.become({KEY: OLD})
    assert schedule.due(OLD.moment) == []  # it has been handed out
    other = entry(9, number=1)
    schedule.become({KEY: LATER, other.key: other})
    assert schedule.due(other.moment) == [LATER, other]
    schedule.become({})
    assert (len(schedule), schedule.next_moment()) == (0, None)
    assert not schedule.holds(DIGESTS[0], besides=other)


# -- waiting for another process -------------------------------------------------------------------
def test_patience_lasts_as_long_as_there_is_progress() -> None:
    patience = Patience(10, now=100)
    assert patience.looked(109.9, progress=False)
    assert patience.looked(110, progress=True)
    assert patience.looked(119.9, progress=False)
    assert patience.looked(120, progress=False) is None


def test_pauses_grow_while_nothing_happens() -> None:
    patience = Patience(10, now=0)
    first = patience.looked(0, progress=False)
    pauses = [patience.looked(0, progress=False) for _ in range(10)]
    assert first is not None
    assert first < 0.01
    assert pauses[-1] == 0.05
    assert patience.looked(0, progress=True) == first
    assert patience.looked(10, progress=False) is None


def test_no_pause_is_longer_than_patience() -> None:
    patience = Patience(0.01, now=0)
    for _ in range(10):
        patience.looked(0, progress=False)
    assert patience.looked(0.008, progress=False) == 0.01 - 0.008
