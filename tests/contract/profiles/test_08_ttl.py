"""Section 8: how long content is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from harness.targets import RunningRegistry
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    manifest_path,
    pull_blob,
    pull_manifest,
    starts,
    warned_of,
)
from tests.contract.profiles.schedule import Due, hours_left, key, reopen
from tests.contract.profiles.table import row

_LAYER = IMAGE.layers[0]
_DAY = timedelta(days=1)
_TTL = "REGISTRY_PROXY_TTL"


def _ttl(value: object) -> dict[str, Any]:
    return {"extra": {"proxy": {"ttl": value}}}


def _kept_for(cache: RunningRegistry) -> int | None:
    """Hours that a blob is kept which is pulled now; None where nothing is ever saved."""
    pull_blob(cache, _LAYER)
    cache.let_pass(timedelta(seconds=6))
    return hours_left(cache.eventually(lambda: cache.state() or {}, 0.3)).get(key(_LAYER))


# -- reading it -----------------------------------------------------------------------------------
@row("8.1", ["starts", "starts", "starts"], ["starts", "starts", 1])
def test_what_is_taken(bench: Bench) -> object:
    return [starts(bench, upstream=True, **_ttl(value)) for value in ("48h", None, "abc")]


@row("8.1", 168, 48, slow=True)
def test_ttl(bench: Bench) -> object:
    return _kept_for(bench.proxy(ttl="48h"))


@row("8.1", 168, slow=True)
def test_default(bench: Bench) -> object:
    return _kept_for(bench.proxy())


@row("8.1", (True, 168), (False, 48), slow=True)
def test_variable(bench: Bench) -> object:
    """Whether there is a warning, and the hours that content is kept."""
    cache = bench.proxy(environment={_TTL: "48h"})
    return warned_of(bench, cache, _TTL), _kept_for(cache)


@row("8.1", ["starts", True], [1, None])
def test_variable_that_is_no_duration(bench: Bench) -> object:
    started = starts(bench, upstream=True, environment={_TTL: "abc"})
    if started != "starts":
        return [started, None]
    return [started, warned_of(bench, bench.proxy(environment={_TTL: "abc"}), _TTL)]


_OFF = pytest.mark.parametrize("ttl", [0, "0", "0s", "-1h"])


@row("8.2", 168, None, slow=True)
@_OFF
def test_no_ttl_at_all(bench: Bench, ttl: object) -> object:
    return _kept_for(bench.proxy(**_ttl(ttl)))


@row("8.2", 2, "starts")
@_OFF
def test_saved_schedule_is_not_read(bench: Bench, ttl: object) -> object:
    """A damaged one would end the start."""
    cache = bench.proxy(**_ttl(ttl))
    return reopen(cache, state="{")


@row("8.3", True, False)
def test_bare_number_is_nanoseconds(bench: Bench) -> object:
    """Whether the blob is still there a moment after it was pulled."""
    cache = bench.proxy(delete_enabled=True, **_ttl(10))
    cache.get(blob_path(_LAYER))
    seconds = 0.5 if bench.release == "2.8" else 10.0
    bench.settle(cache)
    return not cache.eventually(lambda: not cache.disk.layer_links(REPOSITORY), seconds)


@row("8.4", "starts", 1)
@pytest.mark.parametrize("ttl", ["10", "5 s", "1d", True])
def test_no_duration(bench: Bench, ttl: object) -> object:
    return starts(bench, upstream=True, **_ttl(ttl))


# -- counting it ----------------------------------------------------------------------------------
def _saved(cache: RunningRegistry, count: int) -> Mapping[str, int]:
    """Hours left by key, once *count* entries are saved."""
    return hours_left(cache.await_state(lambda state: len(state) == count))


@row("8.5", [24, 24, 168], slow=True)
def test_hits_do_not_extend(bench: Bench) -> object:
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _LAYER)
    reopen(cache, Due(IMAGE, _DAY), Due(_LAYER, _DAY))
    for path in (manifest_path("v1"), manifest_path(IMAGE), blob_path(_LAYER)):
        cache.get(path, headers=ANY)
    pull_blob(cache, IMAGE.config)  # so that something is saved
    hours = _saved(cache, 3)
    return [hours.get(key(content)) for content in (IMAGE, _LAYER, IMAGE.config)]


@row("8.6", [168, 168], [100, 2], slow=True)
def test_changed_ttl_concerns_what_comes(bench: Bench) -> object:
    cache = bench.proxy(ttl="100h")
    pull_blob(cache, _LAYER)
    _saved(cache, 1)
    cache.restart(ttl="2h")
    pull_blob(cache, IMAGE.config)
    hours = _saved(cache, 2)
    return [hours.get(key(content)) for content in (_LAYER, IMAGE.config)]


@row("8.6", (False, False), (True, True), slow=True)
def test_overdue_while_off(bench: Bench) -> object:
    """Whether blob and state file are as they were."""
    cache = bench.proxy(delete_enabled=True)
    pull_blob(cache, _LAYER)
    reopen(cache, Due(_LAYER), ttl=0)
    before = cache.state_path.read_text()
    seconds = 10.0 if bench.release == "2.8" else 0.3
    kept = not cache.eventually(lambda: not cache.disk.layer_links(REPOSITORY), seconds)
    saved = cache.await_state(lambda state: not state, timeout=7 if bench.release == "2.8" else 0)
    return kept, bool(saved) and cache.state_path.read_text() == before


@row("8.7", 1, 0, slow=True)
def test_entry_of_a_blob_that_was_not_kept(bench: Bench) -> object:
    cache = bench.proxy()
    bench.upstream.on("GET", _LAYER).truncate(after=1000)
    cache.get(blob_path(_LAYER))
    pull_blob(cache, IMAGE.config)
    saved = cache.await_state(lambda state: key(IMAGE.config) in state)
    return len(saved.keys() - {key(IMAGE.config)})
