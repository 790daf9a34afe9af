"""Child processes are seen, stopped, and never outlive the process that started them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.system.process import Process, clean_environment

Start = Callable[[str], Process]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Process] = []

    def start_shell(script: str) -> Process:
        started.append(Process(["sh", "-c", script]))
        return started[-1]

    yield start_shell
    for process in started:
        process.kill()


def test_waiting_ends_with_the_program_and_not_with_the_timeout(start: Start) -> None:
    begun = time.monotonic()
    assert start("echo no").await_output(re.compile("yes"), timeout=60) is None
    assert time.monotonic() - begun < 30


def test_stop_sends_sigterm(start: Start) -> None:
    process = start("trap 'echo goodbye; exit 3' TERM; echo ready; while :; do sleep 0.01; done")
    process.await_output(re.compile("ready"), timeout=10)
    assert process.stop() == 3
    assert process.output() == "ready\ngoodbye\n"
    assert process.stop() == 3


def test_stop_kills_after_the_grace_time(start: Start) -> None:
    process = start("trap '' TERM; echo ready; while :; do sleep 0.01; done")
    process.await_output(re.compile("ready"), timeout=10)
    assert process.stop(grace=0.1) == -signal.SIGKILL


def test_children_of_the_program_go_with_it(start: Start) -> None:
    process = start("sleep 300 & echo child $!; wait")
    match = process.await_output(re.compile(r"child (\d+)"), timeout=10)
    assert match is not None
    process.stop()
    assert gone(int(match[1]))


def test_children_are_killed_after_the_program_ended(start: Start) -> None:
    process = start("sleep 300 >/dev/null 2>&1 & echo child $!")
    match = process.await_output(re.compile(r"child (\d+)"), timeout=10)
    assert match is not None
    assert process.wait(10) == 0
    process.stop()
    assert gone(int(match[1]))


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_PROXY_TTL", "HTTPS_PROXY", "no_proxy", "PULLPROOF_PROFILE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("KEPT", "kept")
    environment = clean_environment({"EXTRA": "1"})
    assert not [name for name, value in environment.items() if value == "x"]
    assert environment["OTEL_TRACES_EXPORTER"] == "none"
    assert (environment["KEPT"], environment["EXTRA"]) == ("kept", "1")


ORPHAN_MAKER = """
    import os, signal, sys, time
    from harness.system.process import Process
    child = Process(["sh", "-c", "trap '' TERM HUP INT; while :; do sleep 0.05; done"])
    print(child.pid, flush=True)
    {ending}
"""


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit(0)",
        "raise RuntimeError",
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os._exit(1)",
    ],
    ids=["end", "exception", "SIGTERM", "SIGKILL", "os._exit"],
)
def test_no_end_of_the_test_process_leaves_an_orphan(ending: str, tmp_path: Path) -> None:
    script = tmp_path / "maker.py"
    script.write_text(textwrap.dedent(ORPHAN_MAKER).format(ending=ending))
    maker = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )
    assert gone(int(maker.stdout))


INTERRUPTED = """
    import os, signal
    from harness.system.process import Process

    def test_interrupted():
        child = Process(["sleep", "300"])
        with open("pid", "w") as file:
            file.write(str(child.pid))
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
"""


def test_ctrl_c_in_pytest_leaves_no_orphan(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take a while to import
    pytester.makepyfile(INTERRUPTED)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=60)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert gone(int((pytester.path / "pid").read_text()))


def gone(pid: int) -> bool:
    """Whether the process has ended; the guard and init may need a moment."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        # Inside a container no process may reap what init inherits: a zombie has ended, too.
        status = Path(f"/proc/{pid}/stat")
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            continue
        time.sleep(0.01)
    return False
