"""The rules of tag freshness and of the negative cache."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reference_registry.clock import ManualClock
from reference_registry.digest import digest_of
from reference_registry.proxy.policy.memory import NegativeCache
from reference_registry.proxy.repository import TagFreshness
from reference_registry.proxy.upstream.errors import Refusal, UpstreamRefused, UpstreamTimedOut

INTERVAL = timedelta(minutes=15)
ONE, OTHER = digest_of(b"one"), digest_of(b"other")
TICK = timedelta(microseconds=1)


class SettableClock(ManualClock):
    """One that an operator, or NTP, may set back."""

    def set(self, moment: datetime) -> None:
        self._now = moment


# -- tags --------------------------------------------------------------------------------------
def test_a_tag_is_fresh_until_the_interval_is_over() -> None:
    clock = ManualClock()
    tags = TagFreshness(INTERVAL, clock)
    assert tags.fresh("app", "v1") is None
    tags.confirm("app", "v1", ONE)
    clock.advance(INTERVAL - TICK)
    assert tags.fresh("app", "v1") == ONE
    clock.advance(TICK)
    assert tags.fresh("app", "v1") is None


def test_a_tag_is_fresh_for_its_repository_alone() -> None:
    tags = TagFreshness(INTERVAL, ManualClock())
    tags.confirm("app", "v1", ONE)
    assert tags.fresh("other", "v1") is None
    assert tags.fresh("app", "v2") is None


def test_confirming_restarts_the_interval() -> None:
    clock = ManualClock()
    tags = TagFreshness(INTERVAL, clock)
    tags.confirm("app", "v1", ONE)
    clock.advance(INTERVAL / 2)
    tags.confirm("app", "v1", OTHER)
    clock.advance(INTERVAL / 2)
    assert tags.fresh("app", "v1") == OTHER


def test_looking_does_not_prolong() -> None:
    clock = ManualClock()
    tags = TagFreshness(INTERVAL, clock)
    tags.confirm("app", "v1", ONE)
    for _ in range(4):
        clock.advance(INTERVAL / 4)
        tags.fresh("app", "v1")
    assert tags.fresh("app", "v1") is None


def test_without_an_interval_nothing_is_fresh() -> None:
    tags = TagFreshness(timedelta(0), ManualClock())
    tags.confirm("app", "v1", ONE)
    assert tags.fresh("app", "v1") is None


def test_a_clock_that_is_set_back_prolongs_nothing() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    clock = SettableClock(now)
    tags = TagFreshness(INTERVAL, clock)
    tags.confirm("app", "v1", ONE)
    clock.set(now - timedelta(days=1))
    assert tags.fresh("app", "v1") is None


def test_tags_beyond_the_bound_drive_out_the_one_confirmed_first() -> None:
    tags = TagFreshness(INTERVAL, ManualClock(), most=2)
    tags.confirm("app", "v1", ONE)
    tags.confirm("app", "v2", ONE)
    tags.confirm("app", "v1", ONE)
    tags.confirm("app", "v3", ONE)
    assert [tag for tag in ("v1", "v2", "v3") if tags.fresh("app", tag)] == ["v1", "v3"]


# -- absences ----------------------------------------------------------------------------------
TTL = timedelta(seconds=30)


def refused(status: int) -> UpstreamRefused:
    return UpstreamRefused("GET", Refusal(status, ""))


def ask(absences: NegativeCache, name: str, reference: str, failure: Exception | None) -> bool:
    """Whether upstream was asked, which then answered *failure*."""
    asked = False
    try:
        with absences.asking(name, reference):
            asked = True
            if failure is not None:
                raise failure
    except (UpstreamRefused, UpstreamTimedOut):
        pass
    return asked


def test_an_absence_is_remembered_for_its_ttl() -> None:
    clock = ManualClock()
    absences = NegativeCache(TTL, clock)
    assert ask(absences, "app", "v1", refused(404))
    clock.advance(TTL - TICK)
    with pytest.raises(UpstreamRefused) as caught, absences.asking("app", "v1"):
        pytest.fail("upstream was asked")
    assert caught.value.status == 404
    clock.advance(TICK)
    assert ask(absences, "app", "v1", None)


def test_asking_does_not_prolong_an_absence() -> None:
    clock = ManualClock()
    absences = NegativeCache(TTL, clock)
    ask(absences, "app", "v1", refused(404))
    for _ in range(3):
        clock.advance(TTL / 3)
        ask(absences, "app", "v1", refused(404))
    clock.advance(TTL / 3)
    assert [ask(absences, "app", "v1", refused(404)) for _ in range(2)] == [False, False]
    clock.advance(TTL)
    assert ask(absences, "app", "v1", None)


@pytest.mark.parametrize("status", [400, 401, 403, 405, 410, 429, 500, 502, 503, 504])
def test_no_other_refusal_is_remembered(status: int) -> None:
    absences = NegativeCache(TTL, ManualClock())
    assert ask(absences, "app", "v1", refused(status))
    assert ask(absences, "app", "v1", refused(status))
    assert len(absences) == 0


def test_silence_is_not_remembered() -> None:
    absences = NegativeCache(TTL, ManualClock())
    ask(absences, "app", "v1", UpstreamTimedOut("GET", "u", "c"))
    assert ask(absences, "app", "v1", None)


def test_a_refusal_leaves_what_is_remembered() -> None:
    """A revalidation that ends in 429 changes nothing."""
    absences = NegativeCache(TTL, ManualClock())
    ask(absences, "app", "v1", refused(404))
    with pytest.raises(UpstreamRefused), absences.asking("app", "v1", revalidate=True):
        raise refused(429)
    assert absences.holds("app", "v1")


def test_revalidating_asks_and_learns() -> None:
    absences = NegativeCache(TTL, ManualClock())
    ask(absences, "app", "v1", refused(404))
    with absences.asking("app", "v1", revalidate=True):
        pass
    assert not absences.holds("app", "v1")


def test_news_end_the_absences_of_their_repository() -> None:
    absences = NegativeCache(TTL, ManualClock())
    for name in ("app", "other"):
        for reference in ("v1", "v2"):
            absences.remember(name, reference)
    absences.seen("app")
    held = [n + r for n in ("app", "other") for r in ("v1", "v2") if absences.holds(n, r)]
    assert held == ["otherv1", "otherv2"]
    absences.seen("app")
    assert len(absences) == 2


def test_without_a_ttl_nothing_is_remembered() -> None:
    absences = NegativeCache(timedelta(0), ManualClock())
    ask(absences, "app", "v1", refused(404))
    assert ask(absences, "app", "v1", None)


def test_a_clock_that_is_set_back_prolongs_no_absence() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    clock = SettableClock(now)
    absences = NegativeCache(TTL, clock)
    absences.remember("app", "v1")
    clock.set(now - timedelta(days=1))
    assert not absences.holds("app", "v1")


def test_absences_beyond_the_bound_drive_out_the_oldest() -> None:
    absences = NegativeCache(TTL, ManualClock(), most=3)
    for number in range(100):
        absences.remember(f"app{number}", "v1")
    assert len(absences) == 3
    assert [n for n in range(100) if absences.holds(f"app{n}", "v1")] == [97, 98, 99]
