"""The view of a storage tree, on trees written by hand in distribution's layout."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from harness.system.disk import Changes, Disk

HEX = sha256(b"hello").hexdigest()
DIGEST = f"sha256:{HEX}"
OTHER = "sha256:" + "ab" * 32
BASE = "docker/registry/v2"
BLOB = f"{BASE}/blobs/sha256/{HEX[:2]}/{HEX}/data"


def write(root: Path, path: str, content: str = "") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    write(tmp_path, BLOB, "hello")
    app = f"{BASE}/repositories/team/app"
    write(tmp_path, f"{app}/_layers/sha256/{HEX}/link", DIGEST)
    write(tmp_path, f"{app}/_manifests/revisions/sha256/{OTHER[7:]}/link", OTHER)
    write(tmp_path, f"{app}/_manifests/tags/v1/current/link", OTHER)
    write(tmp_path, f"{app}/_manifests/tags/v1/index/sha256/{OTHER[7:]}/link", OTHER)
    write(tmp_path, f"{app}/_manifests/tags/v1/index/sha256/{HEX}/link", DIGEST)
    write(tmp_path, f"{app}/_uploads/0000-1/data", "hel")
    (tmp_path / f"{BASE}/repositories/team/_uploads").mkdir()
    return Disk(tmp_path)


def test_snapshot_diff(disk: Disk) -> None:
    before = disk.snapshot()
    assert before[BLOB] == HEX
    assert not before.diff(disk.snapshot())
    write(disk.root, "new", "x")
    write(disk.root, BLOB, "other")
    link = f"{BASE}/repositories/team/app/_manifests/tags/v1/current/link"
    (disk.root / link).unlink()
    assert before.diff(disk.snapshot()) == Changes(
        added=frozenset({"new"}), removed=frozenset({link}), changed=frozenset({BLOB})
    )


@pytest.mark.parametrize("name", ["../../..", "/etc", "a//b", "A", ""])
def test_wrong_name_is_refused(disk: Disk, name: str) -> None:
    with pytest.raises(ValueError, match="not a repository name"):
        disk.tags(name)


@pytest.mark.parametrize("digest", ["sha256:../../etc", "sha256:ab", "md5:00", ""])
def test_wrong_digest_is_refused(disk: Disk, digest: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        disk.has_blob(digest)
