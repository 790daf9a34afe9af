"""Section 9: ``scheduler-state.json``."""

from __future__ import annotations

import json
import re
import signal
from datetime import timedelta

import pytest

from harness.content import an_image
from harness.http.client import RegistryClient
from harness.targets import RunningRegistry, Settings
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    manifest_path,
    pull_blob,
    pull_manifest,
)
from tests.contract.profiles.processes import end_by, listening, serving, written
from tests.contract.profiles.schedule import Due, key, reopen
from tests.contract.profiles.table import SAME, row

_LAYER = IMAGE.layers[0]
_TICK = timedelta(seconds=6)
"""A little more than the interval of writing."""


def _document(cache: RunningRegistry) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(cache.state_path.read_text())
    return found


# -- the file -------------------------------------------------------------------------------------
@row(
    "9.1",
    {
        "files of the root": ["docker", "scheduler-state.json"],
        "last byte": "}",
        "blob": {"Key": key(_LAYER), "ExpiryData": "a moment in UTC", "EntryType": 0},
        "manifest": {"Key": key(IMAGE), "ExpiryData": "a moment in UTC", "EntryType": 1},
    },
    slow=True,
)
def test_form(bench: Bench) -> object:
    cache = bench.proxy()
    pull_manifest(cache, IMAGE)
    pull_blob(cache, _LAYER)
    cache.await_state(lambda state: len(state) == 2)
    document = _document(cache)
    for entry in document.values():
        moment = str(entry["ExpiryData"])
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,8}[1-9])?Z", moment):
            entry["ExpiryData"] = "a moment in UTC"
    return {
        "files of the root": sorted(path.name for path in cache.root.iterdir()),
        "last byte": cache.state_path.read_text()[-1],
        "blob": document[key(_LAYER)],
        "manifest": document[key(IMAGE)],
    }


@row("9.2", ["manifest", "blob"], slow=True)
def test_one_entry_for_a_digest_of_both_kinds(bench: Bench) -> object:
    cache, seen = bench.proxy(), []
    pull_manifest(cache, IMAGE)
    seen += [entry.kind for entry in cache.await_state(bool).values()]
    cache.get(blob_path(IMAGE.digest))
    state = cache.await_state(lambda state: all(e.kind == "blob" for e in state.values()))
    return seen + [entry.kind for entry in state.values()]


@row("9.3", None)
def test_file_is_not_written_at_once(bench: Bench) -> object:
    cache = bench.proxy()
    pull_blob(cache, _LAYER)
    return cache.state()


@row("9.3", [1, "as it was", 2], slow=True)
def test_file_is_written_after_changes_only(bench: Bench) -> object:
    cache = bench.proxy()
    pull_blob(cache, _LAYER)
    first = len(cache.await_state(bool))
    before = cache.state_path.stat()
    cache.let_pass(_TICK)
    after = cache.state_path.stat()
    idle = "as it was" if after.st_mtime_ns == before.st_mtime_ns else "rewritten"
    pull_blob(cache, IMAGE.config)
    return [first, idle, len(cache.await_state(lambda state: len(state) == 2))]


# -- the end of the process -----------------------------------------------------------------------
_SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])


def _ended(bench: Bench, number: signal.Signals, **settings: object) -> tuple[int | None, bool]:
    """The exit code after *number*, and whether the state was saved."""
    config = written(bench, Settings(upstream_url=bench.upstream.url, **settings))  # type: ignore[arg-type]
    with serving(bench, config) as process:
        client = RegistryClient(listening(process))
        assert client.get(manifest_path("v1"), headers=ANY).status == 200
        client.close()
        code = end_by(process, number)
    return code, (bench.workdir / "storage/scheduler-state.json").exists()


@row("9.4", ("killed", False))
@_SIGNALS
def test_killed(bench: Bench, number: signal.Signals) -> object:
    code, saved = _ended(bench, number)
    return "killed" if code == -number else code, saved


@row("9.5", (0, False), SAME, (0, True))
def test_drained_after_sigterm(bench: Bench) -> object:
    return _ended(bench, signal.SIGTERM, draintimeout="1s")


@row("9.5", (-2, False), SAME, (0, True))
def test_drained_after_sigint(bench: Bench) -> object:
    return _ended(bench, signal.SIGINT, draintimeout="1s")


@row("9.6", 0, 0, 2, 0)
def test_drained_without_a_schedule(bench: Bench) -> object:
    return _ended(bench, signal.SIGTERM, draintimeout="1s", ttl=0)[0]


# -- what is read at start ------------------------------------------------------------------------
def _cached(bench: Bench, *, manifest: bool = False) -> RunningRegistry:
    """A cache with a blob, that deletes what has expired."""
    cache = bench.proxy(delete_enabled=True)
    pull_blob(cache, _LAYER)
    if manifest:
        pull_manifest(cache, IMAGE)
    return cache


@row("9.7", True)
def test_overdue_at_start(bench: Bench) -> object:
    cache = _cached(bench)
    reopen(cache, Due(_LAYER))
    return cache.eventually(lambda: not cache.disk.has_blob(_LAYER.digest))


_ENTRY = {"Key": key(_LAYER), "ExpiryData": "2000-01-01T00:00:00Z", "EntryType": 0}


def _state(name: str = key(_LAYER), **fields: object) -> str:
    """A file of one overdue entry with other *fields*; None leaves one out."""
    entry = {field: value for field, value in {**_ENTRY, **fields}.items() if value is not None}
    return json.dumps({name: entry})


@row("9.8", 2)
@pytest.mark.parametrize(
    "state",
    ["", "no JSON", "[]", _state(ExpiryData="tomorrow")],
    ids=["empty", "text", "list", "date"],
)
def test_damaged(bench: Bench, state: str) -> object:
    return reopen(bench.proxy(), state=state)


@row("9.9", ["starts", None, None, 200])
def test_null(bench: Bench) -> object:
    """The start, the answers to two pulls, and one that caches nothing."""
    cache = bench.proxy()
    started = reopen(cache, state="null")
    other = bench.upstream.add(REPOSITORY, an_image("other"))
    paths = (manifest_path("v1"), manifest_path(other), "/v2/")
    return [started, *(cache.get(path, headers=ANY).status for path in paths)]


@row("9.10", True)
def test_misnamed_field(bench: Bench) -> object:
    cache = _cached(bench)
    reopen(cache, state=_state(ExpiryData=None, Expiry="2099-01-01T00:00:00Z"))
    return cache.eventually(lambda: not cache.disk.has_blob(_LAYER.digest))


@row("9.11", (True, True))
def test_unknown_kind(bench: Bench) -> object:
    """Whether the log tells of it, and whether the content is still there."""
    cache = _cached(bench)
    reopen(cache, state=_state(EntryType=7))
    told = cache.eventually(lambda: "scheduler entry type" in cache.logs())
    return told, cache.disk.has_blob(_LAYER.digest)


@row("9.11", {}, slow=True)
def test_entry_of_an_unknown_kind_is_dropped(bench: Bench) -> object:
    cache = _cached(bench)
    reopen(cache, state=_state(EntryType=7))
    return cache.await_state(lambda state: not state)


@row("9.12", (True, [key(_LAYER, "other/app")]), slow=True)
def test_name_is_not_the_key(bench: Bench) -> object:
    """Whether the content of the key has gone, and the names that are saved then."""
    cache = _cached(bench)
    reopen(cache, state=_state(key(_LAYER, "other/app")))
    gone = cache.eventually(lambda: not cache.disk.has_blob(_LAYER.digest))
    return gone, _names_left(cache)


@row("9.12", (True, [key(_LAYER)]), slow=True)
@pytest.mark.parametrize("name", ["nothing", "team/app:v1"])
def test_key_that_is_no_digest(bench: Bench, name: str) -> object:
    """Whether the content is still there, and the names that are saved then."""
    cache = _cached(bench)
    reopen(cache, state=_state(Key=name))
    left = _names_left(cache)
    return cache.disk.has_blob(_LAYER.digest), left


def _names_left(cache: RunningRegistry) -> list[str]:
    """The names in the file once something else has been saved, but for that."""
    pull_blob(cache, IMAGE.config)
    state = cache.await_state(lambda state: key(IMAGE.config) in state)
    return sorted(state.keys() - {key(IMAGE.config)})
