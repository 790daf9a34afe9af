"""``schedule``: the table, JSON, and nothing to list."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reference_registry.__main__ import main
from reference_registry.commands import table
from reference_registry.proxy.expiry.schedule import (
    BLOB,
    MANIFEST,
    ZERO,
    GoTime,
    ScheduleEntry,
    render_state,
)
from tests.unit.server.config_cases import GOOD

_NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
_A, _B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
_CACHE = GOOD + "proxy:\n  remoteurl: https://h\n"


def _entry(key: str, after: timedelta, kind: int = BLOB, now: datetime = _NOW) -> ScheduleEntry:
    return ScheduleEntry(key, GoTime.of(now + after), kind)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("PULLPROOF_PROFILE", "REGISTRY_CONFIGURATION_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "XYZ-02:00")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(_CACHE.replace("/data", str(tmp_path)))
    return path


def _state(config: Path) -> Path:
    return config.with_name("scheduler-state.json")


# -- what is listed -----------------------------------------------------------------------------
def test_the_table_is_in_local_time() -> None:
    entries = [
        _entry(f"past@{_A}", timedelta(seconds=-1)),
        _entry(f"now@{_B}", timedelta(0)),
        _entry(f"soon@{_A}", timedelta(seconds=42.9), MANIFEST),
        _entry(f"late@{_A}", timedelta(days=6, hours=23, minutes=59)),
    ]
    assert list(table(entries, _NOW)) == [
        "EXPIRES                          IN  KIND      CONTENT",
        f"2026-11-24 13:59:59+02:00   overdue  blob      past@{_A}",
        f"2026-11-24 14:00:00+02:00   overdue  blob      now@{_B}",
        f"2026-11-24 14:00:42+02:00       42s  manifest  soon@{_A}",
        f"2026-12-01 13:59:00+02:00    6d 23h  blob      late@{_A}",
    ]


def test_entries_of_others_are_shown_as_they_are() -> None:
    last = GoTime.parse("9999-12-31T23:59:59Z")  # in no calendar two hours further east
    entries = [ScheduleEntry("\x1b[2Jno key", ZERO, 7), ScheduleEntry("", last, MANIFEST)]
    lines = list(table(entries, _NOW))[1:]
    assert lines == [
        "0001-01-01 02:00:00+02:00   overdue  type 7    '\\x1b[2Jno key'",
        "9999-12-31T23:59:59Z       2912115d 11h  manifest  ",
    ]


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (timedelta(seconds=0.4), "0s"),
        (timedelta(seconds=59), "59s"),
        (timedelta(minutes=1), "1m 0s"),
        (timedelta(hours=1, minutes=5, seconds=7), "1h 5m"),
        (timedelta(days=7), "7d 0h"),
    ],
)
def test_how_long_is_left(left: timedelta, text: str) -> None:
    (line,) = list(table([_entry(f"app@{_A}", left)], _NOW))[1:]
    assert line[25:].split("  blob")[0].strip() == text


def test_a_file_is_listed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    entries = [
        _entry(f"team/app@{_A}", timedelta(hours=2, seconds=30), MANIFEST, now),
        _entry(f"team/app@{_B}", timedelta(hours=-1), BLOB, now),
    ]
    _state(config).write_bytes(render_state({entry.key: entry for entry in entries}))
    assert main(["schedule", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[27:] for line in lines[1:]] == [
        f" overdue  blob      team/app@{_B}",
        f"   2h 0m  manifest  team/app@{_A}",
    ]


def test_as_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    entry = _entry(f"team/app@{_A}", timedelta(hours=1), MANIFEST, now)
    strange = ScheduleEntry("what", ZERO, 7)
    _state(config).write_bytes(render_state({e.key: e for e in (entry, strange)}))
    assert main(["schedule", "--json", str(config)]) == 0
    past, coming = json.loads(capsys.readouterr().out)
    assert 3590 < coming.pop("seconds_left") <= 3600
    assert coming == {
        "key": f"team/app@{_A}",
        "repository": "team/app",
        "digest": _A,
        "kind": "manifest",
        "expires": str(entry.moment),
        "overdue": False,
    }
    assert past.pop("seconds_left") < 0
    assert past == {
        "key": "what",
        "repository": None,
        "digest": None,
        "kind": "type 7",
        "expires": "0001-01-01T00:00:00Z",
        "overdue": True,
    }


# -- nothing to list ----------------------------------------------------------------------------
def test_no_file(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", str(config)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{_state(config)}: not there, nothing is scheduled\n"
    assert captured.err == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged: not JSON"),
        (b"null", "damaged: null"),
        (b"[]", "damaged: not a JSON object"),
        (b"\xff", "damaged: not JSON"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_damaged_file_is_one_line(
    content: bytes,
    said: str,
    flags: list[str],
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _state(config).write_bytes(content)
    assert main(["schedule", *flags, str(config)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"pullproof-registry: {_state(config)}: {said}")
    assert captured.err.count("\n") == 1


def test_a_directory_instead_of_a_file(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _state(config).mkdir()
    assert main(["schedule", str(config)]) == 1
    assert capsys.readouterr().err == (f"pullproof-registry: {_state(config)}: Is a directory\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD, "not a cache, nothing expires"),
        (_CACHE + "  ttl: 0\n", "proxy.ttl is 0, nothing expires"),
        (
            "version: 0.1\nstorage: inmemory\nproxy: {remoteurl: 'https://h'}\n",
            "in memory, the schedule is known to the running registry alone",
        ),
    ],
)
def test_configurations_without_a_schedule(
    text: str, said: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(text)
    assert main(["schedule", str(config)]) == 0
    assert capsys.readouterr().out == f"{said}\n"
