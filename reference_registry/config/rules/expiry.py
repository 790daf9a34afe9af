"""What happens to content when its time is over, and to the schedule at the end."""

from __future__ import annotations

from datetime import timedelta

from reference_registry.config.rules.reviewed import Remark, Reviewed

__all__ = [
    "absences_for_long",
    "delete_on_a_cache",
    "empty_answers_after_removal",
    "end_panics",
    "expiry_deletes_nothing",
    "nothing_to_put_off",
    "schedule_lost_at_the_end",
    "size_without_files",
    "ttl_at_once",
]


def ttl_at_once(given: Reviewed) -> Remark | None:
    """A bare number is nanoseconds to Go: ``ttl: 10`` expires everything at once."""
    ttl = _ttl(given)
    if ttl is None or ttl >= timedelta(seconds=1) or not given.gives("proxy.ttl"):
        return None
    return Remark("proxy.ttl", "everything expires as soon as it is cached", "write it as 48h")


def expiry_deletes_nothing(given: Reviewed) -> Remark | None:
    """#4249: the scheduler's deletion is refused like a client's, and its entry dropped."""
    delete = given.config.storage.delete_enabled
    if _ttl(given) is None or not given.profile.expiry_needs_delete_enabled or delete:
        return None
    return Remark(
        "proxy.ttl",
        "this release deletes nothing when it expires, and keeps it forever without a schedule",
        "set storage.delete.enabled to true",
    )


def empty_answers_after_removal(given: Reviewed) -> Remark | None:
    """#2367: a descriptor cache goes on promising what expiry or garbage collection removed."""
    storage, profile = given.config.storage, given.profile
    kind = storage.cache.blobdescriptor
    if kind is None or not profile.trusts_descriptor_cache or not storage.delete_enabled:
        return None
    remover = "garbage-collect" if _ttl(given) is None else "expiry or garbage-collect"
    until = "forever" if kind == "redis" else "until the next start"
    return Remark(
        "storage.cache.blobdescriptor",
        f"a blob that {remover} has removed is answered 200 with an empty body, {until}",
        "remove storage.cache",
    )


def delete_on_a_cache(given: Reviewed) -> Remark | None:
    """A cache answers DELETE with 405, whatever the configuration says."""
    if given.config.proxy is None or not given.config.storage.delete_enabled:
        return None
    if given.profile.expiry_needs_delete_enabled:
        why, fix = "lets expiry delete; a client's DELETE is still refused by a cache", ""
    else:
        why = "no effect: a cache refuses DELETE, and expiry needs no leave"
        fix = "remove it"
    return Remark("storage.delete.enabled", why, fix)


def schedule_lost_at_the_end(given: Reviewed) -> Remark | None:
    """The state file is written every 5 s, and at the end only by 3.0.0 and later, and only where
    draining is on. What it lacks is never scheduled again."""
    profile, drains = given.profile, given.config.http.draintimeout is not None
    if _ttl(given) is None or profile.saves_state == "at-once":
        return None
    if profile.saves_state_on_drain and drains:
        return None
    why = "what was cached in the last 5 s before the end never expires"
    fix = "set http.draintimeout" if profile.saves_state_on_drain else "stop it when it is idle"
    return Remark("http.draintimeout", why, fix)


def end_panics(given: Reviewed) -> Remark | None:
    """3.0.0 stops a scheduler that was never made."""
    config = given.config
    never = config.proxy is not None and config.proxy.ttl is None
    drains = config.http.draintimeout is not None
    if not given.profile.drain_panics_without_ttl or not never or not drains:
        return None
    return Remark("proxy.ttl", "with draintimeout, the end is a panic, exit code 2", "set a ttl")


def nothing_to_put_off(given: Reviewed) -> Remark | None:
    """``x-refresh-on-hit`` is about the ttl."""
    proxy = given.config.proxy
    if proxy is None or proxy.ttl is not None or not proxy.policy.refresh_on_hit:
        return None
    if any(upstream.ttl is not None for upstream in proxy.upstreams.values()):
        return None
    return Remark("proxy.x-refresh-on-hit", "no effect: nothing expires", "set ttl, or remove it")


def size_without_files(given: Reviewed) -> Remark | None:
    """The size of what lies in memory is not looked at."""
    proxy = given.config.proxy
    if proxy is None or proxy.policy.max_size is None or given.config.storage.driver != "inmemory":
        return None
    return Remark("proxy.x-max-size", "no effect on storage.inmemory", "use filesystem")


def absences_for_long(given: Reviewed) -> Remark | None:
    """A client that asks for an image before it is pushed gets 404 until the time is over."""
    proxy = given.config.proxy
    if proxy is None or proxy.policy.negative_ttl <= timedelta(minutes=10):
        return None
    return Remark(
        "proxy.x-negative-ttl",
        "content pushed upstream after a client asked for it stays missing here for that long",
        "write 30s, or what your builds can wait",
    )


def _ttl(given: Reviewed) -> timedelta | None:
    """When content expires; None for never, and where there is no cache."""
    return None if given.config.proxy is None else given.config.proxy.ttl
