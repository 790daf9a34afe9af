"""Health checks by the clock, and what becomes of a failing one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from reference_registry.clock import ManualClock
from reference_registry.config import (
    Config,
    DebugConfig,
    HealthConfig,
    HttpConfig,
    PeriodicCheck,
    StorageConfig,
)
from reference_registry.config.units import ListenAddress
from reference_registry.http.asgi import Receive, Scope, Send
from reference_registry.observability.health import Health, probe
from reference_registry.profiles import PROFILES
from reference_registry.server.listener import Listener
from reference_registry.server.server import Server
from reference_registry.storage.driver import MemoryDriver, PathNotFound


class _Driver(MemoryDriver):
    """A storage that can break."""

    error: Exception | None = None

    def children(self, path: str) -> list[str]:
        if self.error is not None:
            raise self.error
        return super().children(path)


class _Clock(ManualClock):
    """Notices when all sleep again, which is when a round of checks is over."""

    def __init__(self, sleepers: int) -> None:
        super().__init__()
        self._expected = sleepers
        self._asleep = 0
        self._all_asleep = asyncio.Event()

    async def sleep_until(self, moment: datetime) -> None:
        self._asleep += 1
        if self._asleep == self._expected:
            self._all_asleep.set()
        await super().sleep_until(moment)
        self._asleep -= 1

    async def turn(self, seconds: float) -> None:
        self._all_asleep.clear()
        self.advance(timedelta(seconds=seconds))
        await asyncio.wait_for(self._all_asleep.wait(), 10)


_EVERY_10_S = PeriodicCheck(kind="storagedriver", interval=timedelta(seconds=10), threshold=2)


def test_rounds_go_by_the_clock() -> None:
    async def run() -> None:
        driver, clock = _Driver(), _Clock(1)
        health = Health([_EVERY_10_S], driver=driver, profile=PROFILES["ideal"], clock=clock)
        driver.error = PermissionError(13, "Permission denied")
        await health.start()
        assert health.failing() == {}  # nothing was checked yet
        await clock.turn(10)
        assert health.failing() == {}  # one failure of two
        await clock.turn(10)
        name, error = "storagedriver_inmemory", "inmemory: [Errno 13] Permission denied"
        assert health.failing() == {name: error}
        driver.error = PathNotFound("inmemory", "/")  # nothing stored yet: healthy
        await clock.turn(10)
        assert health.failing() == {}
        await health.stop()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("threshold", "results", "failing"),
    [
        (0, "x", [True]),
        (1, "x.", [True, False]),
        (3, "xx.xxxx.", [False, False, False, False, False, True, True, False]),
    ],
)
def test_thresholds(threshold: int, results: str, failing: list[bool]) -> None:
    check = PeriodicCheck(kind="storagedriver", threshold=threshold)

    async def run() -> None:
        driver, clock = _Driver(), _Clock(1)
        health = Health([check], driver=driver, profile=PROFILES["ideal"], clock=clock)
        await health.start()
        seen = []
        for result in results:
            driver.error = OSError("broken") if result == "x" else None
            await clock.turn(10)
            seen.append(bool(health.failing()))
        await health.stop()
        assert seen == failing

    asyncio.run(run())


def test_failures_are_sorted_by_name(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("b", "a")]
    for path in paths:
        path.touch()
    checks = [PeriodicCheck(kind="file", target=str(path)) for path in paths]

    async def run() -> None:
        clock = _Clock(2)
        health = Health(checks, driver=_Driver(), profile=PROFILES["ideal"], clock=clock)
        await health.start()
        await clock.turn(10)
        assert list(health.failing().items()) == [
            (str(tmp_path / "a"), "file exists"),
            (str(tmp_path / "b"), "file exists"),
        ]
        await health.stop()

    asyncio.run(run())


# -- single probes ------------------------------------------------------------------------------
def _probed(check: PeriodicCheck, profile: str = "ideal") -> str | None:
    return asyncio.run(probe(check, _Driver(), PROFILES[profile]))


def test_a_file_that_is_there_is_a_failure(tmp_path: Path) -> None:
    check = PeriodicCheck(kind="file", target=str(tmp_path / "stop"))
    assert _probed(check) is None
    (tmp_path / "stop").touch()
    assert _probed(check) == "file exists"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port without a listener while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_tcp(closed_port: int) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert _probed(PeriodicCheck(kind="tcp", target=f"127.0.0.1:{port}")) is None
    check = PeriodicCheck(kind="tcp", target=f"127.0.0.1:{closed_port}")
    error = _probed(check)
    assert error is not None
    assert error.startswith(f"127.0.0.1:{closed_port}: connection failed: ")
    assert _probed(check, "2.8") == f"connection to 127.0.0.1:{closed_port} failed"


@pytest.mark.parametrize("target", ["nowhere", "127.0.0.1:99999", "127.0.0.1:x"])
def test_tcp_addresses_that_are_none(target: str) -> None:
    error = _probed(PeriodicCheck(kind="tcp", target=target))
    assert error is not None
    assert error.startswith(f"{target}: connection failed: ")


def test_http(closed_port: int) -> None:
    asked: list[tuple[str, dict[bytes, bytes]]] = []

    async def downstream(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append((scope["method"], dict(scope["headers"])))
        status = int(scope["path"].strip("/"))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        listener = Listener(downstream, ListenAddress("127.0.0.1", 0), key="test")
        await listener.start()
        url = f"http://{listener.address}"
        good = PeriodicCheck(kind="http", target=f"{url}/200", headers={"X-A": ("1",)})
        bad = PeriodicCheck(kind="http", target=f"{url}/500")
        other = PeriodicCheck(kind="http", target=f"{url}/500", statuscode=500)
        driver, new, old = _Driver(), PROFILES["3.1"], PROFILES["2.8"]
        assert await probe(good, driver, new) is None
        assert await probe(other, driver, new) is None
        unexpected = "downstream service returned unexpected status: 500"
        assert await probe(bad, driver, old) == unexpected
        assert await probe(bad, driver, new) == f"{url}/500: {unexpected}"
        await listener.stop()

    asyncio.run(run())
    assert {method for method, _ in asked} == {"HEAD"}
    assert asked[0][1][b"x-a"] == b"1"
    gone = PeriodicCheck(kind="http", target=f"http://127.0.0.1:{closed_port}/")
    error = _probed(gone)
    assert error is not None
    assert error.startswith(f"{gone.target}: error while checking: ")
    assert _probed(gone, "2.8") == f"error while checking: {gone.target}"


def test_a_check_that_hangs_is_a_failure() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # connections wait here for an answer that never comes
        target = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        check = PeriodicCheck(kind="http", target=target, timeout=timedelta(milliseconds=50))
        assert _probed(check) == f"{target}: no answer in time"


# -- in the registry ----------------------------------------------------------------------------
@pytest.mark.parametrize("profile", ["ideal", "2.8"])
def test_while_a_check_fails_everything_is_503(profile: str, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    check = PeriodicCheck(kind="file", target=str(stop), interval=timedelta(seconds=10))
    address = "127.0.0.1:0"
    config = Config(
        storage=StorageConfig(driver="inmemory"),
        http=HttpConfig(addr=address, secret="s", debug=DebugConfig(addr=address)),
        health=HealthConfig(checks=(check,)),
    )
    expected = PROFILES[profile].json_content_type

    async def run() -> None:
        clock = _Clock(2)  # the check, and the upload purger
        server = Server(config, profile=PROFILES[profile], clock=clock)
        await server.start()
        try:
            async with httpx.AsyncClient(verify=False, trust_env=False) as client:
                healthy = await client.get(f"{server.debug_url}/debug/health")
                assert (healthy.status_code, healthy.content) == (200, b"{}")
                assert healthy.headers["content-type"] == expected
                assert (await client.head(f"{server.debug_url}/debug/health")).status_code == 404
                stop.touch()
                await clock.turn(10)
                failing = await client.get(f"{server.debug_url}/debug/health")
                assert failing.status_code == 503
                assert failing.json() == {str(stop): "file exists"}
                for path in ("/", "/v2/", "/nowhere"):
                    refused = await client.get(f"{server.url}{path}")
                    assert refused.status_code == 503
                    (error,) = refused.json()["errors"]
                    assert error["code"] == "UNAVAILABLE"
                    assert error["detail"] == "health check failed: please see /debug/health"
                    assert "docker-distribution-api-version" not in refused.headers
                stop.unlink()
                await clock.turn(10)
                assert (await client.get(f"{server.url}/v2/")).status_code == 200
        finally:
            await server.stop()

    asyncio.run(run())
