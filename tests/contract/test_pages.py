"""Every ``sh`` block of these pages runs as pasted and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
PAGES = ("README.md", "docs/reference-registry.md")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks() -> list[object]:
    return [
        pytest.param(block, id=f"{page}-{number}")
        for page in PAGES
        for number, block in enumerate(_BLOCK.findall((TREE / page).read_text()), 1)
        if not block.startswith("make ")  # CI itself runs these
    ]


@pytest.mark.parametrize("block", _blocks())
def test_a_block_runs_as_pasted(block: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "COLUMNS": "130",
    }
    before = _untracked()
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=TREE,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert _untracked() == before
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("pytest-")] == []


def _untracked() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=TREE,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listed.stdout.splitlines())
