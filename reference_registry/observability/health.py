"""``health``: checks that run by the clock, and what is failing now.

As in distribution, a check is first made one interval after the start, counts as failing after
``threshold`` failures in a row, and recovers with the first success.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from reference_registry.clock import Clock
from reference_registry.config import PeriodicCheck
from reference_registry.profiles import Profile
from reference_registry.storage.driver import PathNotFound, StorageDriver

__all__ = ["Health", "ThresholdStatus"]

_log = logging.getLogger(__name__)

_LONGEST = 30.0  # seconds for one check where no timeout is configured


class ThresholdStatus:
    """The state of one check; pure."""

    def __init__(self, threshold: int) -> None:
        self._threshold = max(threshold, 1)
        self._failures = 0
        self._error: str | None = None

    def update(self, error: str | None) -> None:
        """The newest result: an error, or None for success."""
        self._failures = 0 if error is None else min(self._failures + 1, self._threshold)
        self._error = error

    @property
    def error(self) -> str | None:
        """The last error, once there were enough of them in a row."""
        return self._error if self._failures >= self._threshold else None


class Health:
    """Implements :class:`reference_registry.http.hooks.HealthGate`."""

    def __init__(
        self,
        checks: Iterable[PeriodicCheck],
        *,
        driver: StorageDriver,
        profile: Profile,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._probes = Probes(driver, profile)
        self._checks = [
            (self._probes.name_of(check), check, ThresholdStatus(check.threshold))
            for check in checks
        ]
        self._failing: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def failing(self) -> Mapping[str, str]:
        """Errors by the name of the check, sorted; empty while all is well."""
        return self._failing

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._poll(name, check, status))
            for name, check, status in self._checks
        ]
        # Let each fall asleep, so that a clock turned from now on finds them all.
        await asyncio.sleep(0)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _poll(self, name: str, check: PeriodicCheck, status: ThresholdStatus) -> None:
        moment = self._clock.now()
        while True:
            moment = max(moment + check.interval, self._clock.now())
            await self._clock.sleep_until(moment)
            error = await self._probes.probe(check)
            if error is not None:
                _log.error("health check %s: %s", name, error)
            status.update(error)
            self._failing = {
                name: error
                for name, _, status in sorted(self._checks, key=lambda item: item[0])
                if (error := status.error) is not None
            }


class Probes:
    """How each kind of check is made. A result is an error's text, or None."""

    def __init__(self, driver: StorageDriver, profile: Profile) -> None:
        self._driver = driver
        self._names_cause = profile.health_errors_name_cause

    def name_of(self, check: PeriodicCheck) -> str:
        """The key of ``/debug/health``."""
        return check.target or f"storagedriver_{self._driver.name}"

    async def probe(self, check: PeriodicCheck) -> str | None:
        """Make *check* once."""
        kinds: dict[str, Callable[[PeriodicCheck], Awaitable[str | None]]] = {
            "storagedriver": self._storage,
            "file": self._file,
            "http": self._http,
            "tcp": self._tcp,
        }
        timeout = check.timeout if check.timeout and check.timeout > timedelta(0) else None
        try:
            async with asyncio.timeout(timeout.total_seconds() if timeout else _LONGEST):
                return await kinds[check.kind](check)
        except TimeoutError:
            return f"{check.target or 'storage'}: no answer in time"

    async def _storage(self, check: PeriodicCheck) -> str | None:
        try:
            await asyncio.to_thread(self._driver.children, "/")
        except PathNotFound:
            return None  # nothing was stored yet
        except OSError as error:
            return f"{self._driver.name}: {error}"
        return None

    async def _file(self, check: PeriodicCheck) -> str | None:
        try:
            exists = await asyncio.to_thread(Path(check.target).exists)
        except OSError as error:
            return str(error)
        return "file exists" if exists else None

    async def _http(self, check: PeriodicCheck) -> str | None:
        import httpx

        uri = check.target
        headers = [(name, value) for name, values in check.headers.items() for value in values]
        try:
            async with httpx.AsyncClient(timeout=_LONGEST, follow_redirects=True) as client:
                status = (await client.head(uri, headers=headers)).status_code
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            cause = f"{uri}: error while checking: {str(error) or type(error).__name__}"
            return cause if self._names_cause else f"error while checking: {uri}"
        if status == check.statuscode:
            return None
        unexpected = f"downstream service returned unexpected status: {status}"
        return f"{uri}: {unexpected}" if self._names_cause else unexpected

    async def _tcp(self, check: PeriodicCheck) -> str | None:
        host, _, port = check.target.rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host.strip("[]") or "localhost", int(port))
        except (OSError, ValueError, OverflowError) as error:
            cause = f"{check.target}: connection failed: {error}"
            return cause if self._names_cause else f"connection to {check.target} failed"
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return None
