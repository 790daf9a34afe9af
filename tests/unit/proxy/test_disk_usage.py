"""What is in a blob store, and when it was last used."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_registry.digest import Digest, digest_of
from reference_registry.proxy.policy.size_limit import held_in, note_use

LONG_AGO = 1_000_000_000.0


def put(blobs: Path, content: bytes) -> Digest:
    digest = digest_of(content)
    data = directory_of(blobs, digest) / "data"
    data.parent.mkdir(parents=True)
    data.write_bytes(content)
    return digest


def directory_of(blobs: Path, digest: Digest) -> Path:
    algorithm, _, encoded = digest.partition(":")
    return blobs / algorithm / encoded[:2] / encoded


def test_blobs_and_nothing_else_are_held(tmp_path: Path) -> None:
    assert held_in(tmp_path / "missing") == []
    stored = {put(tmp_path, b"first"): 5, put(tmp_path, b"second"): 6}
    directory_of(tmp_path, digest_of(b"without data")).mkdir(parents=True)
    odd = tmp_path / "sha256" / "zz" / "not-a-digest"
    odd.mkdir(parents=True)
    (odd / "data").write_bytes(b"odd")
    (tmp_path / "sha256" / "note.txt").write_text("not a directory")
    assert {holding.digest: holding.size for holding in held_in(tmp_path)} == stored


def test_the_last_use_is_kept_on_disk_and_never_goes_back(tmp_path: Path) -> None:
    digest, gone = put(tmp_path, b"content"), digest_of(b"gone")
    later = held_in(tmp_path)[0].used + 60
    data = directory_of(tmp_path, digest) / "data"
    before = data.stat()
    note_use(tmp_path, {digest: later, gone: LONG_AGO})
    note_use(tmp_path, {digest: LONG_AGO})
    assert held_in(tmp_path)[0].used == pytest.approx(later, abs=0.001)
    after = data.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
