"""garbage-collect of profile 2.8 and of the real 2.8.2, on the same trees."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.system.real_parts import real_part
from reference_registry.clock import SystemClock
from reference_registry.config import Config, StorageConfig
from reference_registry.garbage.collect import collect
from reference_registry.profiles import profile_named
from reference_registry.storage.store import Storage, open_storage
from tests.unit.registry.trees import TREES

_FAILURE = re.compile(r"failed to garbage collect: .*")


@dataclass(frozen=True)
class Outcome:
    """What a run said and left."""

    exit_code: int
    lines: list[str]
    failure: list[str]
    files: list[str]


def _storage(root: Path) -> Storage:
    return open_storage(StorageConfig(rootdirectory=root), profile_named("2.8"), SystemClock())


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def _real(root: Path, *, dry_run: bool, delete_untagged: bool) -> Outcome:
    config = root.with_suffix(".yml")
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n"
    )
    flags = ["--dry-run"] * dry_run + ["--delete-untagged"] * delete_untagged
    run = subprocess.run(
        [real_part("docker-registry"), "garbage-collect", *flags, config],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Outcome(
        run.returncode, sorted(run.stdout.splitlines()), _FAILURE.findall(run.stderr), _files(root)
    )


def _ours(root: Path, *, dry_run: bool, delete_untagged: bool) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    code = collect(
        Config(storage=StorageConfig(rootdirectory=root)),
        profile_named("2.8"),
        dry_run=dry_run,
        delete_untagged=delete_untagged,
        out=out,
        err=err,
    )
    lines = sorted(out.getvalue().splitlines())
    return Outcome(code, lines, _FAILURE.findall(err.getvalue()), _files(root))


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("delete_untagged", [False, True], ids=["", "untagged"])
@pytest.mark.parametrize("dry_run", [True, False], ids=["dry", "real"])
def test_same_lines_and_same_remains(
    tree: str, delete_untagged: bool, dry_run: bool, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    TREES[tree](_storage(ours))
    if ours.exists():
        shutil.copytree(ours, theirs)

    expected = _real(theirs, dry_run=dry_run, delete_untagged=delete_untagged)
    actual = _ours(ours, dry_run=dry_run, delete_untagged=delete_untagged)

    assert actual == expected
