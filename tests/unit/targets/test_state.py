"""Reading and ageing scheduler-state.json."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.targets import readings as state_module
from harness.targets.readings import StateEntry, read_state, shift_expiry

DIGEST = "sha256:" + "0" * 64
KEY = f"team/app@{DIGEST}"
SAVED = f'{{"{KEY}":{{"Key":"{KEY}","ExpiryData":"2026-03-01T10:00:00.123456789Z","EntryType":1}}}}'


def test_an_entry_is_read(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_text(SAVED)
    moment = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
    assert read_state(file) == {KEY: StateEntry(KEY, "team/app", DIGEST, "manifest", moment)}


def test_a_missing_moment_is_gos_zero_time_and_an_odd_type_stays(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_text(f'{{"{KEY}":{{"Key":"{KEY}","Expiry":"2026-03-01T10:00:00Z","EntryType":7}}}}')
    assert read_state(file) == {
        KEY: StateEntry(KEY, "team/app", DIGEST, "7", datetime(1, 1, 1, tzinfo=UTC))
    }


@pytest.mark.parametrize("content", ["", "garbage", "[]", '{"a":1}', '{"a":{"ExpiryData":"soon"}}'])
def test_damaged_file_is_reported(tmp_path: Path, content: str) -> None:
    file = tmp_path / "state"
    file.write_text(content)
    with pytest.raises(ValueError, match="state is damaged"):
        read_state(file)


def test_half_a_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """distribution truncates the file and rewrites it while we read."""
    file = tmp_path / "state"
    file.write_text("")
    steps = iter([SAVED[:40], SAVED[:80], SAVED])
    monkeypatch.setattr(state_module, "sleep", lambda _: file.write_text(next(steps)))
    state = read_state(file)
    assert state is not None
    assert state.keys() == {KEY}


def test_expiry_moves_into_the_past(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_text(shift_expiry(SAVED, -timedelta(hours=1)))
    state = read_state(file)
    assert state is not None
    assert state[KEY].expires == datetime(2026, 3, 1, 9, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "moved"),
    [
        ("2026-03-01T10:00:00Z", "2026-03-01T09:00:00Z"),
        ("2026-03-01T10:00:00.5Z", "2026-03-01T09:00:00.5Z"),
        ("2026-03-01T10:00:10Z", "2026-03-01T09:00:10Z"),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T09:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("soon", "soon"),
    ],
)
def test_moments_are_written_as_go_writes_them(written: str, moved: str) -> None:
    content = json.dumps({"k": {"Key": "k", "ExpiryData": written, "Other": 1}})
    after = json.loads(shift_expiry(content, -timedelta(hours=1)))
    assert after == {"k": {"Key": "k", "ExpiryData": moved, "Other": 1}}


def test_odd_members_stay_as_they_are() -> None:
    assert shift_expiry("null", timedelta(1)) == "null"
    assert json.loads(shift_expiry('{"a":1,"b":{}}', timedelta(1))) == {"a": 1, "b": {}}
