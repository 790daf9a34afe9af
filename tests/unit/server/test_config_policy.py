"""``proxy.x-tag-freshness`` and its relatives: values and sizes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.config import CachePolicy, Config
from reference_registry.config.file import read
from reference_registry.config.units import parse_size, short_size, suggested_size
from reference_registry.profiles import PROFILES
from tests.unit.server.config_cases import GOOD

PROXY = GOOD + "proxy:\n  remoteurl: https://h.example\n"
ALL = PROXY + (
    "  x-tag-freshness: 15m\n  x-negative-ttl: 30s\n  x-max-size: 50GB\n  x-refresh-on-hit: true\n"
)


def read_text(tmp_path: Path, text: str, profile: str = "ideal") -> tuple[Config | None, list[str]]:
    """The configuration, and what is said of it without the place."""
    path = tmp_path / "config.yml"
    path.write_text(text)
    found = read(path, {}, PROFILES[profile])
    return found.config, [str(error).split(": ", 1)[1] for error in found.errors]


def policy_of(tmp_path: Path, text: str, profile: str = "ideal") -> CachePolicy:
    config, said = read_text(tmp_path, text, profile)
    assert said == []
    assert config is not None
    assert config.proxy is not None
    return config.proxy.policy


def test_all_keys(tmp_path: Path) -> None:
    assert policy_of(tmp_path, ALL) == CachePolicy(
        tag_freshness=timedelta(minutes=15),
        negative_ttl=timedelta(seconds=30),
        max_size=50 * 10**9,
        refresh_on_hit=True,
    )


# -- sizes ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1B", 1),
        ("1kB", 1000),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("50 GB", 50 * 10**9),
        ("1.5TB", 1_500_000_000_000),
        ("0.5MiB", 512 * 1024),
        ("1PiB", 2**50),
        ("1.0001kB", 1000),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1", "GB", "1 G", "1gb", "1e3B", "+1B", "1.B", "1GB ", "١GB"])
def test_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


@given(st.text(alphabet="0123456789.kKmMgGtTpPiIbB ytes", max_size=12))
def test_a_suggestion_is_a_size(text: str) -> None:
    suggested = suggested_size(text)
    if suggested is not None:
        parse_size(suggested)


@given(st.integers(0, 2**60))
def test_a_short_size_can_be_read_back(size: int) -> None:
    text = short_size(size)
    assert parse_size(text) == pytest.approx(size, rel=0.06)
    assert len(text) <= 8
