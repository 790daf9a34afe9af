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


def test_what_lies_there(disk: Disk) -> None:
    assert disk.repositories() == ["team", "team/app"]
    assert disk.tags("team/app") == {"v1": OTHER}
    assert disk.tag_history("team/app", "v1") == {OTHER, DIGEST}
    assert disk.revisions("team/app") == {OTHER}
    assert disk.layer_links("team/app") == {DIGEST}
    assert disk.uploads("team/app") == {"0000-1"}
    assert disk.blobs() == {DIGEST}
    assert disk.has_blob(DIGEST)
    assert disk.blob_bytes(DIGEST) == b"hello"
    assert not disk.has_blob(OTHER)
    assert BLOB in disk.files()
    assert set(disk.links()) == {f"team/app@{DIGEST}", f"team/app@{OTHER}"}


def test_a_directory_that_lost_its_link_counts_as_nothing(disk: Disk) -> None:
    (disk.root / f"{BASE}/repositories/team/app/_layers/sha256/{HEX}/link").unlink()
    assert disk.layer_links("team/app") == set()


def test_nothing_at_all_is_not_an_error(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "absent")
    assert disk.files() == []
    assert disk.repositories() == []
    assert disk.blobs() == set()
    assert disk.tags("a") == {}
    assert disk.snapshot() == {}


def test_snapshots_tell_what_happened(disk: Disk) -> None:
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
def test_a_wrong_name_is_no_path(disk: Disk, name: str) -> None:
    with pytest.raises(ValueError, match="no repository name"):
        disk.tags(name)


@pytest.mark.parametrize("digest", ["sha256:../../etc", "sha256:ab", "md5:00", ""])
def test_a_wrong_digest_is_no_path(disk: Disk, digest: str) -> None:
    with pytest.raises(ValueError, match="no digest"):
        disk.has_blob(digest)
