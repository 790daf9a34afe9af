"""A cache that is killed before any change of its tree, while it pulls and lets things expire.

Each call that moves or removes a file is preceded by a copy of the tree: what a kill at that moment
would leave. A cache that is started on such a copy has to be right in every respect.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.content import an_image
from tests.support.in_process import Proxy
from tests.support.upstream_double import UpstreamDouble
from tests.support.waiting import until
from tests.unit.proxy.test_expiry import pull_all

pytestmark = pytest.mark.anyio

IMAGE = an_image("crash", layers=2)
TTL = timedelta(hours=2)
CALLS = ("replace", "unlink", "rmdir")
WANTED = {f"team/app@{digest}" for digest in (IMAGE.digest, *(b.digest for b in IMAGE.blobs))}


class CrashPoints:
    """Copies *root* before each of its changes."""

    def __init__(self, root: Path, copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.copies: list[Path] = []
        self._root = root
        self._place = copies
        self._lock = threading.RLock()
        for name in CALLS:
            monkeypatch.setattr(os, name, self._preceded(getattr(os, name)))

    def _preceded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def preceded(path: Any, *arguments: Any, **options: Any) -> Any:
            with self._lock:  # A removal in another thread must not disturb a copy.
                # What has a directory's descriptor instead of a path is below a known removal.
                if "dir_fd" not in options and Path(os.fspath(path)).is_relative_to(self._root):
                    self._copy()
                return call(path, *arguments, **options)

        return preceded

    def _copy(self) -> None:
        copy = self._place / str(len(self.copies))
        if self._root.is_dir():
            shutil.copytree(self._root, copy)
            self.copies.append(copy)


async def test_every_moment_is_a_good_one_to_be_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = UpstreamDouble()
    upstream.add("team/app", IMAGE, "v1")
    root = tmp_path / "root"
    with monkeypatch.context() as patch:
        points = CrashPoints(root, tmp_path / "copies", patch)
        async with Proxy(upstream, root, ttl=TTL).running() as proxy:
            await pull_all(proxy, image=IMAGE)
            await until(lambda: _entries(root) == WANTED)
            proxy.clock.advance(TTL)
            await until(lambda: _entries(root) == set())
    # Files of the pull, of uploads, of the schedule, and of what expired.
    assert len(points.copies) > 20

    for copy in points.copies:
        await _is_right(copy, upstream)


async def _is_right(root: Path, upstream: UpstreamDouble) -> None:
    async with Proxy(upstream, root, ttl=TTL).running() as proxy:
        manifest = await proxy.get("/v2/team/app/manifests/v1", accept=IMAGE.media_type)
        assert manifest.body == IMAGE.content, root
        for blob in IMAGE.blobs:
            answer = await proxy.get(f"/v2/team/app/blobs/{blob.digest}")
            assert answer.body == blob.content, root
        await proxy.settled()
        await until(lambda: set(proxy.scheduled) == WANTED)
    _require_right_files(root)


def _require_right_files(root: Path) -> None:
    assert _entries(root) == WANTED, root
    assert not [path for path in root.rglob("_uploads/*/*") if path.is_file()], root
    for blob in (IMAGE.manifest, *IMAGE.blobs):
        algorithm, _, encoded = blob.digest.partition(":")
        place = root / "docker/registry/v2/blobs" / algorithm / encoded[:2] / encoded
        assert (place / "data").read_bytes() == blob.content, root


def _entries(root: Path) -> set[str] | None:
    """What the schedule speaks of; it can be read at any moment."""
    try:
        return set(json.loads((root / "scheduler-state.json").read_text()))
    except FileNotFoundError:
        return None
