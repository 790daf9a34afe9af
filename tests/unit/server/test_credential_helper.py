"""``proxy.exec``: the credential helper for upstream.

Requests to the helper are as measured on 3.0.0.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from reference_registry.clock import ManualClock
from reference_registry.config import (
    ExecConfig,
)
from reference_registry.proxy.upstream import credentials
from reference_registry.proxy.upstream.credentials import CredentialHelper, Credentials

_JOE = Credentials("joe", "pa:ss")
_SAYS_JOE = """printf '{"ServerURL":"x","Username":"joe","Secret":"pa:ss"}'"""

MakeHelper = Callable[..., "_Helper"]


class _Helper:
    """A program that notes what it is asked, then does what *script* says."""

    def __init__(self, directory: Path, script: str) -> None:
        self.path = directory / "docker-credential-test"
        self._calls = directory / "calls"
        self._calls.unlink(missing_ok=True)
        self.path.write_text(f'#!/bin/sh\necho "$* $(cat)" >> {self._calls}\n{script}\n')
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    def config(self, lifetime: timedelta | None = None) -> ExecConfig:
        return ExecConfig(command=str(self.path), lifetime=lifetime)


@pytest.fixture
def helper(tmp_path: Path) -> MakeHelper:
    return lambda script=_SAYS_JOE: _Helper(tmp_path, script)


def _asked(config: ExecConfig, times: int = 1, step: timedelta = timedelta(0)) -> list[object]:
    """What the helper says, asked *times* with *step* in between."""
    clock = ManualClock()

    async def ask() -> list[object]:
        source = CredentialHelper(config, clock)
        found: list[object] = []
        for _ in range(times):
            found.append(await source.get("registry.test:5000"))
            clock.advance(step)
        await source.stop()
        return found

    return asyncio.run(ask())


def _is_gone(noted: Path) -> bool:
    """Whether the process whose number is *noted* ends; a zombie has."""
    status = Path("/proc", noted.read_text().strip(), "status")
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        try:
            if "zombie" in status.read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.005)
    return False


# -- the program --------------------------------------------------------------------------------
def test_the_request(helper: MakeHelper) -> None:
    program = helper()
    assert _asked(program.config()) == [_JOE]
    assert program.calls == ["get registry.test:5000"]


@pytest.mark.parametrize(
    ("lifetime", "calls"),
    [
        (None, 1),
        (timedelta(hours=1), 3),
        (timedelta(hours=2), 2),
        (timedelta(0), 5),
        (timedelta(hours=-1), 5),
    ],
)
def test_lifetime(lifetime: timedelta | None, calls: int, helper: MakeHelper) -> None:
    """Asked five times, every 45 minutes."""
    program = helper()
    assert _asked(program.config(lifetime), 5, timedelta(minutes=45)) == [_JOE] * 5
    assert len(program.calls) == calls


def test_concurrent_requests_share_one_run(helper: MakeHelper) -> None:
    program = helper()

    async def ask() -> list[Credentials | None]:
        source = CredentialHelper(program.config(timedelta(0)), ManualClock())
        return await asyncio.gather(*(source.get("h") for _ in range(5)))

    assert asyncio.run(ask()) == [_JOE] * 5
    assert program.calls == ["get h"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "exit code 3: no message"),
        (
            "echo credentials not found in native keychain; exit 1",
            "exit code 1: credentials not found in native keychain",
        ),
        ("kill -9 $$", "exit code -9: no message"),
        ("echo hunter2hunter2", "the answer is not JSON"),
        ("""echo '["hunter2hunter2"]'""", "the answer is not a JSON object"),
        ("""echo '{"Secret":"hunter2hunter2"}'""", "the answer has no Username and Secret"),
        (
            """echo '{"Username":"","Secret":"hunter2hunter2"}'""",
            "the answer has no Username and Secret",
        ),
        (
            """echo '{"Username":5,"Secret":"hunter2hunter2"}'""",
            "the answer has no Username and Secret",
        ),
        ("yes | head -c 100000; sleep 60", "an answer of more than 65536 bytes"),
    ],
)
def test_a_program_that_fails(
    script: str, said: str, helper: MakeHelper, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked again the next time; what it answered is not in the log."""
    program = helper(script)
    assert _asked(program.config(), 2) == [None, None]
    assert len(program.calls) == 2
    line = f"failed to run command: {program.path}: {said}"
    assert [record.getMessage() for record in caplog.records] == [line, line]
    assert "hunter2" not in caplog.text


def test_a_missing_program(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    for command in (str(tmp_path / "missing"), str(tmp_path / "file"), "", "\0"):
        assert _asked(ExecConfig(command=command)) == [None]
    assert "No such file or directory" in caplog.text
    assert "Permission denied" in caplog.text


def test_a_program_that_closes_its_input(helper: MakeHelper, tmp_path: Path) -> None:
    program = helper()
    program.path.write_text(f"#!/bin/sh\nexec <&-\n{_SAYS_JOE}\n")
    assert _asked(program.config()) == [_JOE]


def test_a_program_that_hangs_is_ended(
    helper: MakeHelper,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(credentials, "_TIMEOUT", 0.2)
    program = helper(f"echo $$ > {tmp_path}/pid\nexec sleep 600")
    assert _asked(program.config()) == [None]
    assert "no answer within 0.2 s" in caplog.text
    assert _is_gone(tmp_path / "pid")


def test_what_a_program_leaves_behind_is_ended(
    helper: MakeHelper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child process would keep the output pipe open."""
    monkeypatch.setattr(credentials, "_TIMEOUT", 0.5)
    program = helper(f"sleep 600 &\necho $! > {tmp_path}/pid\n{_SAYS_JOE}")
    assert _asked(program.config()) == [None]
    assert _is_gone(tmp_path / "pid")


def test_a_program_is_ended_with_the_registry(helper: MakeHelper, tmp_path: Path) -> None:
    program = helper(
        f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid\nexec sleep 600"
    )

    async def ask() -> None:
        source = CredentialHelper(program.config(), ManualClock())
        asking = asyncio.create_task(source.get("h"))
        while not (tmp_path / "pid").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.005)
        await source.stop()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(ask())
    assert _is_gone(tmp_path / "pid")


def test_no_password_is_printed() -> None:
    assert "pa:ss" not in repr(_JOE)
    assert base64.b64decode(_JOE.basic.removeprefix("Basic ")) == b"joe:pa:ss"
