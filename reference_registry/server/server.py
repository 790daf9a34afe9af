"""A registry that listens: the application with its API listener and its debug listener.

It runs in the current event loop: that of ``run_until_signalled``, or one in a thread of a test.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from reference_registry.app import create_app
from reference_registry.clock import Clock, SystemClock
from reference_registry.config import Config
from reference_registry.config.addresses import ListenAddress, parse_address, reachable_host
from reference_registry.garbage.online import StorageGuard
from reference_registry.http.hooks import Observer
from reference_registry.profiles import IDEAL, Profile
from reference_registry.server.listener import Listener

__all__ = ["Server"]

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
        return f"{scheme}://{_reachable(self._api.address)}"

    @property
    def debug_url(self) -> str | None:
        """The URL of the debug listener, or None without one."""
        return None if self._debug is None else f"http://{_reachable(self._debug.address)}"

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


def _reachable(address: ListenAddress) -> ListenAddress:
    return ListenAddress(reachable_host(address.host), address.port)
