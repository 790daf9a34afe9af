"""``health``: checks that run by the clock, and what is failing now.

As in distribution, a check is first made one interval after the start, counts as failing after
``threshold`` failures in a row, and recovers with the first success.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from reference_registry.clock import Clock
from reference_registry.config import PeriodicCheck
from reference_registry.profiles import Profile
from reference_registry.storage.driver import PathNotFound, StorageDriver

_log = logging.getLogger(__name__)

_LONGEST = 30.0  # seconds for one check where no timeout is configured


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
        self._checks = tuple(checks)
        self._driver = driver
        self._profile = profile
        self._clock = clock
        self._failing: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def failing(self) -> Mapping[str, str]:
        """Errors by the name of the check, sorted; empty while all is well."""
        return self._failing

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._poll(check)) for check in self._checks]
        # Let each fall asleep, so that a clock turned from now on finds them all.
        await asyncio.sleep(0)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _poll(self, check: PeriodicCheck) -> None:
        name = check.target or f"storagedriver_{self._driver.name}"
        moment, failures = self._clock.now(), 0
        while True:
            moment = max(moment + check.interval, self._clock.now())
            await self._clock.sleep_until(moment)
            error = await probe(check, self._driver, self._profile)
            failing = {key: text for key, text in self._failing.items() if key != name}
            if error is None:
                failures = 0
            else:
                failures += 1
                _log.error("health check %s: %s", name, error)
                if failures >= check.threshold:
                    failing[name] = error
            self._failing = dict(sorted(failing.items()))


async def probe(check: PeriodicCheck, driver: StorageDriver, profile: Profile) -> str | None:
    """Make *check* once; the text of an error, or None."""
    timeout = check.timeout if check.timeout and check.timeout > timedelta(0) else None
    try:
        async with asyncio.timeout(timeout.total_seconds() if timeout else _LONGEST):
            match check.kind:
                case "storagedriver":
                    return await _probe_storage(driver)
                case "file":
                    exists = await asyncio.to_thread(Path(check.target).exists)
                    return "file exists" if exists else None
                case "http":
                    return await _probe_http(check, profile.health_errors_name_cause)
                case "tcp":
                    return await _probe_tcp(check.target, profile.health_errors_name_cause)
    except TimeoutError:
        return f"{check.target or 'storage'}: no answer in time"
    except OSError as error:
        return str(error)


async def _probe_storage(driver: StorageDriver) -> str | None:
    try:
        await asyncio.to_thread(driver.children, "/")
    except PathNotFound:
        return None  # nothing was stored yet
    except OSError as error:
        return f"{driver.name}: {error}"
    return None


async def _probe_http(check: PeriodicCheck, names_cause: bool) -> str | None:
    import httpx

    uri = check.target
    headers = [(name, value) for name, values in check.headers.items() for value in values]
    try:
        async with httpx.AsyncClient(timeout=_LONGEST, follow_redirects=True) as client:
            status = (await client.head(uri, headers=headers)).status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        cause = f"{uri}: error while checking: {str(error) or type(error).__name__}"
        return cause if names_cause else f"error while checking: {uri}"
    if status == check.statuscode:
        return None
    unexpected = f"downstream service returned unexpected status: {status}"
    return f"{uri}: {unexpected}" if names_cause else unexpected


async def _probe_tcp(address: str, names_cause: bool) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host.strip("[]") or "localhost", int(port))
    except (OSError, ValueError, OverflowError) as error:
        cause = f"{address}: connection failed: {error}"
        return cause if names_cause else f"connection to {address} failed"
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return None
