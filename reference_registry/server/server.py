"""A registry that listens: the application with its API listener and its debug listener.

It runs in the current event loop: in :func:`run_until_signalled`, or in a thread of a test.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from reference_registry.app import create_app
from reference_registry.clock import Clock, SystemClock
from reference_registry.config import Config
from reference_registry.config.http import drain_time
from reference_registry.config.units import (
    ListenAddress,
    format_duration,
    parse_address,
)
from reference_registry.garbage.online import StorageGuard
from reference_registry.http.hooks import Observer
from reference_registry.profiles import IDEAL, Profile
from reference_registry.server.listener import Listener

_log = logging.getLogger(__name__)


class Server:
    """*observers* see every request, in addition to the metrics."""

    def __init__(
        self,
        config: Config,
        *,
        profile: Profile = IDEAL,
        clock: Clock | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.config = config
        self.profile = profile
        clock = clock or SystemClock()
        self._guard = StorageGuard(config.storage, profile, clock)
        self.app = create_app(config, profile=profile, clock=clock, observers=observers)
        http = config.http
        self._api = Listener(
            self.app,
            ListenAddress("", 0) if http.net == "unix" else parse_address(http.addr),
            key="http.addr",
            unix=Path(http.addr) if http.net == "unix" else None,
            tls=http.tls,
            http2=http.h2c if http.tls is None else http.http2,
        )
        self._debug = None
        if http.debug is not None and self.app.debug is not None:
            address = parse_address(http.debug.addr)
            self._debug = Listener(self.app.debug, address, key="http.debug.addr")

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, reachable from this machine; valid once started."""
        scheme = "http" if self.config.http.tls is None else "https"
        return f"{scheme}://{self._api.reachable}"

    @property
    def debug_url(self) -> str | None:
        """The URL of the debug listener, or None without one."""
        return None if self._debug is None else f"http://{self._debug.reachable}"

    async def start(self) -> None:
        """Start everything; returns once requests are answered.

        Raises :class:`reference_registry.config.problem.CannotStart` and leaves nothing running.
        """
        try:
            await self._guard.start()
            if self.profile.debug_listens_first:
                await self._start_debug()
            await self.app.start()
            if not self.profile.debug_listens_first:
                await self._start_debug()
            await self._api.start()
        except BaseException:
            await self.stop()
            raise
        tls = "" if self.config.http.tls is None else ", tls"
        _log.info("listening on %s%s", self._api.where, tls)

    async def _start_debug(self) -> None:
        if self._debug is None or self.config.http.debug is None:
            return
        await self._debug.start()
        _log.info("debug server listening %s", self._debug.where)
        if self.config.http.debug.prometheus_enabled:
            path = self.config.http.debug.prometheus_path
            _log.info("providing prometheus metrics on %s", path)

    async def stop(self, drain: timedelta = timedelta(0)) -> bool:
        """Stop listening, give requests in flight *drain* to finish, then cut them off, end
        background work and save state. Returns whether all requests finished in time."""
        in_time = await self._api.stop(drain.total_seconds())
        if self._debug is not None:
            await self._debug.stop()
        await self.app.stop()
        await self._guard.stop()
        return in_time


async def run_until_signalled(server: Server) -> int:
    """Start *server*, stop it on SIGTERM or SIGINT, and return the exit code.

    Without a drain time the signals keep their default action, which ends the process at once, as
    in every release. Raises :class:`reference_registry.config.problem.CannotStart`.
    """
    _raise_descriptor_limit()
    drain = drain_time(server.config, server.profile)
    signalled = _signalled(server.profile, drains=drain is not None)
    starting = asyncio.create_task(server.start())
    either: set[asyncio.Future[Any]] = {signalled, starting}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return 0
    await starting
    await signalled
    assert drain is not None
    shown = format_duration(drain)
    _log.info("stopping server gracefully. Draining connections for %s", shown)
    in_time = await server.stop(drain)
    proxy = server.config.proxy
    if server.profile.drain_panics_without_ttl and proxy is not None and proxy.ttl is None:
        _log.critical("panic: runtime error: invalid memory address or nil pointer dereference")
        return 2
    if not in_time and server.profile.drain_overrun_fails:
        _log.critical("context deadline exceeded")
        return 1
    return 0


def _raise_descriptor_limit() -> None:
    """Allow as many open files as the system lets this process have, as Go does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _signalled(profile: Profile, *, drains: bool) -> asyncio.Future[int]:
    """Resolves to the number of the signal that ends the server."""
    loop = asyncio.get_running_loop()
    received: asyncio.Future[int] = loop.create_future()

    def receive(number: int) -> None:
        if not received.done():
            received.set_result(number)

    if drains:
        loop.add_signal_handler(signal.SIGTERM, receive, signal.SIGTERM)
    if drains and profile.drains_on_sigint:
        loop.add_signal_handler(signal.SIGINT, receive, signal.SIGINT)
    else:
        # Python's own handler would raise KeyboardInterrupt at any line.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return received
