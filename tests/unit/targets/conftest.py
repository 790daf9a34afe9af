"""Targets to launch, and a server whose every byte the test writes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.system.real_parts import real_part
from harness.targets import RunningRegistry, Settings, Target, parse_target
from harness.targets.process import BinaryTarget
from harness.upstream import MockUpstream

Launch = Callable[..., RunningRegistry]


@pytest.fixture(scope="session")
def docker_registry() -> BinaryTarget:
    return BinaryTarget.find(str(real_part("docker-registry")))


@pytest.fixture(params=["binary:docker-registry", "reference@2.8", "reference@ideal"])
def any_target(request: pytest.FixtureRequest) -> Target:
    """Each target in turn: what is promised of a running registry holds for all of them."""
    text: str = request.param
    if text.startswith("binary:"):
        real_part(text.removeprefix("binary:"))
    return parse_target(text)


@pytest.fixture
def launch(tmp_path: Path, source: MockUpstream) -> Iterator[Launch]:
    """``launch(target, **settings)``; everything is stopped at the end, before its upstream."""
    running: list[RunningRegistry] = []

    def launch_one(target: Target, **settings: object) -> RunningRegistry:
        workdir = tmp_path / f"registry-{len(running)}"
        registry = target.launch(Settings(**settings), workdir)  # type: ignore[arg-type]
        running.append(registry)
        return registry

    yield launch_one
    for registry in reversed(running):
        registry.stop()


@pytest.fixture
def source() -> Iterator[MockUpstream]:
    """An upstream to cache from."""
    upstream = MockUpstream()
    upstream.start()
    yield upstream
    upstream.stop()


class Wire:
    """Answers the first request of each connection with given bytes, then closes it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self._answers: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def answer(self, *answers: bytes) -> None:
        self._answers += answers

    def close(self) -> None:
        # Closing alone does not wake a thread that waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                self.requests.append(received)
                if self._answers:
                    connection.sendall(self._answers.pop(0))


@pytest.fixture
def wire() -> Iterator[Wire]:
    server = Wire()
    yield server
    server.close()
