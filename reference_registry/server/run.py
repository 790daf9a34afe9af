"""Running a server until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

from reference_registry.config import Config
from reference_registry.config.http import drain_time
from reference_registry.config.units import format_duration
from reference_registry.profiles import Profile
from reference_registry.server.server import Server

__all__ = ["run_until_signalled"]

_log = logging.getLogger(__name__)


async def run_until_signalled(server: Server) -> int:
    """Start *server*, stop it on SIGTERM or SIGINT, and return the exit code.

    Without a drain time the signals keep their default action, which ends the process at once, as
    in every release. Raises :class:`reference_registry.config.problem.CannotStart`.
    """
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
    if server.profile.drain_panics_without_ttl and _never_expires(server.config):
        _log.critical("panic: runtime error: invalid memory address or nil pointer dereference")
        return 2
    if not in_time and server.profile.drain_overrun_fails:
        _log.critical("context deadline exceeded")
        return 1
    return 0


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


def _never_expires(config: Config) -> bool:
    return config.proxy is not None and config.proxy.ttl is None
