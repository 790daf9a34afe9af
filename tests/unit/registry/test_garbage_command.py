"""``garbage-collect`` as a command: its JSON, its bar, and its mistakes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.content import an_image
from harness.system.process import clean_environment
from reference_registry.clock import SystemClock
from reference_registry.config import StorageConfig
from reference_registry.digest import Digest, digest_of
from reference_registry.garbage.online import lock_root
from reference_registry.profiles import profile_named
from reference_registry.storage import layout
from reference_registry.storage.store import Storage, open_storage
from tests.unit.registry.trees import TREES, put, put_blob

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def storage(root: Path) -> Storage:
    return open_storage(StorageConfig(rootdirectory=root), profile_named("ideal"), SystemClock())


def _command(root: Path, *arguments: str) -> list[str | Path]:
    config = root.with_suffix(".yml")
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n")
    return [sys.executable, "-m", "reference_registry", "garbage-collect", *arguments, config]


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(root, *arguments),
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _report(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run.stdout)
    return document


# -- JSON -------------------------------------------------------------------------------------
def test_json_lists_what_was_deleted(root: Path, storage: Storage) -> None:
    old, new = an_image("old", layers=1), an_image("new", layers=1)
    put(storage, "app", old, "latest")
    put(storage, "app", new, "latest")
    put_blob(storage, "other", b"an orphan")
    orphan = digest_of(b"an orphan")
    gone = {old.digest: old.size, orphan: 9} | {blob.digest: blob.size for blob in old.blobs}

    preview = _report(_run(root, "--json", "--dry-run", "--delete-untagged"))
    run = _run(root, "--json", "--delete-untagged")
    report = _report(run)

    assert run.returncode == 0
    assert report | {"duration_seconds": 0, "marked": [], "blobs": [], "layer_links": []} == {
        "version": 2,
        "dry_run": False,
        "delete_untagged": True,
        "grace_seconds": 0,
        "error": None,
        "warnings": [],
        "duration_seconds": 0,
        "repositories": 2,
        "marked": [],
        "skipped": [],
        "manifests": [{"repository": "app", "digest": old.digest}],
        "tag_links": [{"repository": "app", "tag": "latest", "digest": old.digest}],
        "blobs": [],
        "layer_links": [],
        "bytes": sum(gone.values()),
    }
    assert report["marked"] == sorted({new.digest, *(blob.digest for blob in new.blobs)})
    assert {blob["digest"]: blob["size"] for blob in report["blobs"]} == gone
    links = {(link["repository"], link["digest"]) for link in report["layer_links"]}
    assert links == {("other", orphan), *(("app", blob.digest) for blob in old.blobs)}
    assert 0 < report["duration_seconds"] < 60
    same = {"dry_run": None, "duration_seconds": None}
    for each in (preview, report):
        each["layer_links"].sort(key=str)
    assert preview | same == report | same
    assert not any(storage.blobs.has(Digest(digest)) for digest in gone)


def test_json_warns_of_damage(root: Path, storage: Storage) -> None:
    image = an_image("damaged")
    put(storage, "app", image, "v1")
    storage.driver.write(layout.revision_link("app", Digest(image.digest)), b"")

    report = _report(_run(root, "--json", "-q", "--delete-untagged"))

    assert report["warnings"] == [f"app: the link to the manifest {image.digest} is damaged"]
    assert report["blobs"] == report["manifests"] == []


def test_json_has_the_error(root: Path, storage: Storage) -> None:
    """A process holds the storage and does not answer."""
    TREES["tagged"](storage)
    lock = lock_root(root)

    run = _run(root, "--json", "-q")
    os.close(lock)

    said = (
        f"{root} is in use by process {os.getpid()}, which does not collect garbage on request; "
        "stop it first"
    )
    assert (run.returncode, run.stderr) == (1, f"failed to garbage collect: {said}")
    assert _report(run)["error"] == said


def test_a_disk_that_cannot_be_read_ends_it(root: Path, storage: Storage) -> None:
    """Content that cannot be read may be in use, so nothing is deleted."""
    TREES["blob without manifest"](storage)
    link = layout.revision_link("team/app", Digest(an_image("app").digest))
    path = root / link.lstrip("/")
    path.unlink()
    path.symlink_to(path.name)  # ELOOP, for root as for anybody
    stored = set(storage.blobs.directories())

    run = _run(root)

    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "failed to garbage collect: " in run.stderr
    assert set(storage.blobs.directories()) == stored


# -- the bar ----------------------------------------------------------------------------------
@pytest.mark.parametrize("arguments", [(), ("--quiet",), ("--json", "--quiet")])
def test_a_terminal_gets_a_bar(root: Path, storage: Storage, arguments: tuple[str, ...]) -> None:
    TREES["blob without manifest"](storage)

    code, shown = _on_a_terminal(_command(root, *arguments))

    assert code == 0
    assert "\x1b[" in shown
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in shown
    lines = _ESCAPE.sub("", shown)
    assert ("team/app: marking manifest " in lines) == (not arguments)
    if "--json" in arguments:
        assert json.loads(lines[lines.index("{") :])["version"] == 2


def _on_a_terminal(command: list[str | Path]) -> tuple[int, str]:
    """The exit code, and what a terminal was sent."""
    ours, theirs = pty.openpty()
    environment = clean_environment() | {"TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(
        command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # EIO: the other end is closed.
                break
            if not chunk:
                break
            shown += chunk
        os.close(ours)
    return process.returncode, shown.decode()


# -- mistakes ---------------------------------------------------------------------------------
@pytest.mark.parametrize("grace", ["1", "soon", "-1h"])
def test_a_wrong_grace(root: Path, grace: str) -> None:
    run = _run(root, f"--grace={grace}")

    assert run.returncode == 2
    assert run.stdout == ""
    assert re.fullmatch(r"pullproof-registry: --grace: .*; write .*\n", run.stderr)


@pytest.mark.parametrize("flag", ["--json", "--grace=1h"])
def test_a_release_does_not_know(root: Path, flag: str) -> None:
    """It takes an unknown flag with exit code 0."""
    run = _run(root, flag, "--profile", "3.1")

    assert (run.returncode, run.stdout) == (0, "")
    assert flag in run.stderr
