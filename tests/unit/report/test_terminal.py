"""The progress line on a terminal, and the list of the slowest scenarios."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from tests.unit.report.examples import HOLDS, PREAMBLE, PULLS, WRONG, run

BAR = "━"


def on_a_terminal(pytester: pytest.Pytester, *arguments: str) -> str:
    """What a run of pytest writes to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
    environment = {**os.environ, "TERM": "xterm-256color", "PY_COLORS": "1"}
    place = pytester.path
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=place
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # on Linux: the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    process.wait(60)
    return written.decode()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_progress_on_a_terminal(pytester: pytest.Pytester, workers: str) -> None:
    pytester.makepyfile(test_demo=PREAMBLE + HOLDS + PULLS + WRONG)
    text = on_a_terminal(pytester, "--pullproof-progress", "-n", workers)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert BAR in plain
    for done in range(4):
        assert f"{done}/3" in plain
    assert "2 holds  1 fails" in plain
    assert "FAILS demo.teapot (reference@ideal)" in plain.split("FAILURES")[0]
    # Nothing of the line is left where the report begins, and pytest drew no dots.
    assert BAR not in plain.split("FAILURES")[1]
    assert "[100%]" not in plain
    assert "client: status: expected 418, but saw 200" in plain
    assert "1 failed" in plain
    assert "2 passed" in plain


def test_without_the_option_pytest_prints_dots(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_demo=PREAMBLE + HOLDS)
    text = on_a_terminal(pytester)
    assert BAR not in text
    assert "[100%]" in text


def test_there_is_no_progress_line_in_a_pipe(pytester: pytest.Pytester) -> None:
    ended = run(pytester, HOLDS, "--pullproof-progress")
    assert BAR not in ended.stdout.str()
    ended.stdout.fnmatch_lines(["*[[]100%]*"])


def test_the_slowest_are_listed(pytester: pytest.Pytester) -> None:
    path = pytester.path / "results.json"
    wanted = ("--pullproof-slowest", "2", "--pullproof-json", str(path), "-n", "2")
    ended = run(pytester, HOLDS + PULLS + WRONG, *wanted)
    _, _, listed = ended.stdout.str().partition("the 2 slowest scenarios\n")
    results = sorted(json.loads(path.read_text())["results"], key=lambda one: -one["seconds"])
    assert [line.split()[2] for line in listed.splitlines()[:2]] == [
        one["key"] for one in results[:2]
    ]
    assert re.match(r" +\d\.\d\d s  [a-z.]+ \(reference@ideal\)\n", listed)
    assert listed.count("(reference@ideal)") == 2
    assert "slowest scenarios" not in run(pytester, HOLDS).stdout.str()
