"""Credentials for upstream: from the configuration, or from a credential helper.

A helper speaks the protocol of Docker's ``docker-credential-*`` programs
(https://github.com/docker/docker-credential-helpers): it is started with the argument ``get``,
reads the server's name from standard input, and writes ``{"Username":"...","Secret":"..."}``.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import signal
from dataclasses import dataclass, field
from datetime import datetime

from reference_registry.clock import Clock
from reference_registry.config import ExecConfig
from reference_registry.proxy.tasks import SingleFlight

_log = logging.getLogger(__name__)

_TIMEOUT = 30.0  # seconds of real time
_CLOSE_TIMEOUT = 1.0  # seconds for a pipe to close
_LONGEST_ANSWER = 64 * 1024  # bytes; also what asyncio reads ahead
_LONGEST_MESSAGE = 200  # characters


@dataclass(frozen=True)
class Credentials:
    """A user of upstream."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of ``Authorization`` (RFC 7617, UTF-8)."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


class CredentialHelper:
    """``proxy.exec``. Its answer is kept for the configured lifetime, or until the process ends
    without one; concurrent requests share one run."""

    def __init__(self, config: ExecConfig, clock: Clock) -> None:
        self._command = config.command
        self._lifetime = config.lifetime
        self._clock = clock
        self._known: Credentials | None = None
        self._until: datetime | None = None
        self._runs: SingleFlight[str, Credentials | None] = SingleFlight()

    async def get(self, server: str) -> Credentials | None:
        """Credentials for *server* (``HOST`` or ``HOST:PORT``); None, and a line in the log, if the
        program has none."""
        fresh = self._until is None or self._clock.now() < self._until
        if self._known is not None and fresh:
            return self._known
        return await self._runs.run(server, lambda: self._ask(server))

    async def stop(self) -> None:
        """End the program if it is running."""
        await self._runs.stop()

    async def _ask(self, server: str) -> Credentials | None:
        try:
            found = _parse(await self._run(server))
        except _Failed as failure:
            _log.error("failed to run command: %s: %s", self._command, failure)
            return None
        if self._lifetime is not None:
            self._until = self._clock.now() + self._lifetime
        self._known = found
        return found

    async def _run(self, server: str) -> bytes:
        try:
            process = await asyncio.create_subprocess_exec(
                self._command,
                "get",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_ANSWER,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise _Failed(getattr(error, "strerror", None) or str(error)) from None
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await _exchange(process, server)
                code = await process.wait()
        except BaseException as error:
            await _end(process)
            if isinstance(error, TimeoutError):
                raise _Failed(f"no answer within {_TIMEOUT:g} s") from None
            raise
        if code != 0:
            # On failure the answer is a message without secrets.
            said = answer.decode("utf-8", "replace").strip()[:_LONGEST_MESSAGE]
            raise _Failed(f"exit code {code}: {said or 'no message'}")
        return answer


class _Failed(Exception):
    """Why there are no credentials."""


async def _exchange(process: asyncio.subprocess.Process, server: str) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(server.encode())
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()
    answer = b""
    while chunk := await process.stdout.read(_LONGEST_ANSWER):
        answer += chunk
        if len(answer) > _LONGEST_ANSWER:
            raise _Failed(f"an answer of more than {_LONGEST_ANSWER} bytes")
    return answer


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the process and its children, which would keep the pipe open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            while await process.stdout.read(_LONGEST_ANSWER):
                pass


def _parse(answer: bytes) -> Credentials:
    """Member names match in any case, as in Go. No error message shows the answer."""
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        raise _Failed("the answer is not JSON") from None
    if not isinstance(document, dict):
        raise _Failed("the answer is not a JSON object")
    members = {name.lower(): value for name, value in document.items()}
    username, secret = members.get("username"), members.get("secret")
    if not isinstance(username, str) or not isinstance(secret, str) or not username:
        raise _Failed("the answer has no Username and Secret")
    return Credentials(username, secret)
