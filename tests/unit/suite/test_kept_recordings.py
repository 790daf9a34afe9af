"""The recordings in ``fixtures/`` can be used and hold no data of the machine that made them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.suite.recording import Recording

TOP = Path(__file__).parents[3]
FILES = sorted((TOP / "fixtures" / "recordings").glob("*.json"))
RELEASES = {"2.8.2": "2.8", "3.0.0": "3.0", "3.1.1": "3.1"}

_OF_A_MACHINE = re.compile(r"/tmp/|/root/|/home/|/work/|/proc/\d|/var/folders/|127\.0\.0\.1:\d")
_SECRETS = re.compile(r"(?i)(?:basic|bearer) [a-z0-9+/=_.-]{12,}|BEGIN [A-Z ]*PRIVATE KEY")
_MOST = 5_000_000
"""Bytes of one file; what bloats it is worth a look."""


def test_all_are_there() -> None:
    assert {Recording.read(file).release for file in FILES} == RELEASES.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recording_is_complete_and_holds_no_machine_data(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    recording = Recording.read(file)
    assert recording.render() == text
    assert recording.implementation == "distribution"
    assert recording.version == RELEASES[recording.release]
    assert len(recording.scenarios) > 500
    assert len(text) < _MOST
    assert not _OF_A_MACHINE.search(text)
    assert not _SECRETS.search(text)


def test_recordings_pass_as_targets() -> None:
    """Cells of scenarios that have changed since are not applicable, and say so."""
    targets = [f"--target=recording:{file}" for file in FILES]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "scenarios", "-q", "-rs", "-pno:cacheprovider", *targets],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    stale = len(re.findall(r"has changed since the recording", run.stdout))
    new = len(re.findall(r"not in the recording", run.stdout))
    print(f"changed since: {stale} lines; new since: {new}")
    assert re.search(r"recording:docker-registry: \d+ holds, \d+ deviates", run.stdout)
