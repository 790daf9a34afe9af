"""A manifest request stays easy to follow: it runs through few files of the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rooms import manifest_by_tag

pytestmark = pytest.mark.anyio

MISS, HIT = 29, 20
"""May only go down."""


async def test_a_manifest_by_tag_runs_through_few_files(tmp_path: Path) -> None:
    traces = await manifest_by_tag(tmp_path)
    assert len(traces["miss"].files) <= MISS, traces["miss"].files
    assert len(traces["hit"].files) <= HIT, traces["hit"].files
