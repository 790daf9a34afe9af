"""What scenarios crash registries with does what it says."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.system.crashes import KillPoint, SmallDisk

WRITER = """
import sys, time
from pathlib import Path
print("ready", flush=True)
sys.stdin.readline()
for name in ("other", "file"):
    with Path(name).open("w") as file:
        file.write("content")
Path("survived").touch()
"""


# -- a small disk ----------------------------------------------------------------------------------


def test_frozen_disk_is_read_only(small_disk: SmallDisk) -> None:
    file = small_disk.root / "file"
    file.write_text("before")
    small_disk.freeze()
    for change in (
        lambda: file.write_text("after"),
        file.unlink,
        (small_disk.root / "new").touch,
        lambda: file.rename(small_disk.root / "renamed"),
    ):
        with pytest.raises(PermissionError):
            change()
    assert file.read_text() == "before"
    small_disk.thaw()
    file.write_text("after")


# -- a kill at a call ------------------------------------------------------------------------------
def test_killed_at_the_call(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        point = KillPoint(process.pid, [tmp_path / "file"], ["write"])
        process.stdin.close()
        assert point.await_death()
        assert process.wait(10) == -signal.SIGKILL
    assert (tmp_path / "other").read_text() == "content"
    assert (tmp_path / "file").read_text() == ""
    assert not (tmp_path / "survived").exists()


# -- the reference registry as a process -----------------------------------------------------------
