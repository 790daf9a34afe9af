"""``reference[@PROFILE]``: the reference registry, run in this process in a few milliseconds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from harness.system.loop import lab_loop
from harness.targets.errors import DidNotStart, TargetError
from harness.targets.in_process import JumpingClock, Log, TurnableClock
from harness.targets.process import ServerProcess
from harness.targets.readings import SAVE_INTERVAL, GcRun, StateEntry
from harness.targets.registry import NOWHERE, Addresses, RunningRegistry, TargetServer
from harness.targets.settings import Files, Settings
from harness.targets.target import Identity, Target
from reference_registry import PACKAGE
from reference_registry.config import Config
from reference_registry.config.file import load
from reference_registry.config.http import drain_time
from reference_registry.config.problem import CannotStart, ConfigError
from reference_registry.garbage.collect import Options
from reference_registry.garbage.online import collect
from reference_registry.http.hooks import Observer
from reference_registry.profiles import Profile, profile_named
from reference_registry.proxy.registry import ProxyRegistry
from reference_registry.repository import Registry
from reference_registry.server.server import Server as ReferenceApp

_TIMEOUT = 60.0
"""Seconds to start, or to stop after the drain time."""
_GRACE = timedelta(hours=1)
_LOOK = 0.02
"""Seconds to find out whether something is being cached."""
_SAVED_SOON = 0.25
"""Seconds until a registry whose clock was turned writes its state."""


@dataclass(frozen=True)
class ReferenceTarget(Target):
    """The reference registry under one profile."""

    profile: Profile

    @classmethod
    def named(cls, profile: str) -> ReferenceTarget:
        """``reference@``*profile*. ``TargetError`` with the known ones for another."""
        try:
            return cls(profile_named(profile))
        except ValueError as error:
            raise TargetError(f"reference@{profile}: {error}") from None

    @property
    def name(self) -> str:
        return f"reference@{self.profile.name}"

    @property
    def identity(self) -> Identity:  # type: ignore[override]
        return Identity(self.profile.implementation, self.profile.name, self.profile.name)

    def check(self) -> None:
        """It is part of this project, so there is nothing to check."""

    def registry(self, settings: Settings, workdir: Path) -> RunningRegistry:
        if settings.own_process:
            python = [sys.executable, "-m", PACKAGE, "--profile", self.profile.name]
            server = ServerProcess(python, self.name, self.identity)
            return RunningRegistry(settings, workdir, server)
        return ReferenceRegistry(self, settings, workdir)


class ReferenceServer(TargetServer):
    """Runs on the lab loop, by *clock*. *observers* see every request."""

    def __init__(
        self, target: ReferenceTarget, clock: TurnableClock, observers: Sequence[Observer]
    ) -> None:
        self._target = target
        self._profile = target.profile
        self._clock = clock
        self._observers = observers
        self._server: ReferenceApp | None = None
        self._state: Path | None = None
        self._log: Log | None = None
        self._earlier_output = ""

    @property
    def served(self) -> Registry | None:
        """The repositories it serves; None if it does not run."""
        return None if self._server is None else self._server.app.registry

    def start(self, files: Files) -> Addresses:
        self._state = files.state
        files.write_config("127.0.0.1:0", "127.0.0.1:0", self._target.identity.redis_key)
        config = self._load(files)
        self._log = log = Log(config)
        log.open()
        self._server = server = ReferenceApp(
            config, profile=self._profile, clock=self._clock, observers=[log, *self._observers]
        )

        async def start() -> None:
            with log.current():
                await server.start()

        try:
            lab_loop().run(start(), _TIMEOUT)
        except CannotStart as failure:
            self._forget()
            code = 2 if self._profile.strict_config else failure.released_exit_code
            raise self._refused(code, failure) from failure
        except BaseException as failure:
            self._forget()
            if isinstance(failure, TimeoutError):
                raise DidNotStart(self._target.name, None, self.output()) from failure
            raise
        return Addresses(server.url, server.debug_url or NOWHERE)

    def stop(self) -> None:
        if self._server is not None:
            drain = drain_time(self._server.config, self._profile) or timedelta(0)
            try:
                lab_loop().run(self._server.stop(drain), drain.total_seconds() + _TIMEOUT)
            finally:
                self._forget()

    def kill(self) -> None:
        """Cut the requests in flight. The code still cleans up, unlike in a killed process, but the
        state file keeps its content."""
        if self._server is None or self._state is None:
            return
        saved = self._state.read_bytes() if self._state.is_file() else None
        try:
            lab_loop().run(self._server.stop(), _TIMEOUT)
        finally:
            self._forget()
        if saved is not None:
            self._state.write_bytes(saved)
        else:
            self._state.unlink(missing_ok=True)

    def _forget(self) -> None:
        self._earlier_output = self.output()
        if self._log is not None:
            self._log.close()
        self._server = self._log = None

    def output(self) -> str:
        return self._earlier_output + (self._log.text() if self._log else "")

    def _load(self, files: Files) -> Config:
        try:
            return load(files.config, files.settings.environment, self._profile)
        except ConfigError as error:
            raise self._refused(error.exit_code, error) from error

    def _refused(self, exit_code: int, error: Exception) -> DidNotStart:
        reason = str(error).partition("\n")[0]
        return DidNotStart(self._target.name, exit_code, f"{self.output()}{error}\n", reason)

    def collect(self, files: Files, *, dry_run: bool, delete_untagged: bool, online: bool) -> GcRun:
        try:
            config = self._load(files)
        except DidNotStart as refused:
            return GcRun(refused.exit_code or 1, "", refused.message)
        grace = _GRACE if online and self._profile.gc_reports else timedelta(0)
        options = Options(dry_run=dry_run, delete_untagged=delete_untagged, grace=grace)
        out, log = list[str](), Log(config)
        log.open()
        try:
            with log.current():
                error = collect(config.storage, self._profile, options, out.append)["error"]
        finally:
            log.close()
        failure = "" if error is None else f"failed to garbage collect: {error}"
        return GcRun(
            int(error is not None), "".join(f"{line}\n" for line in out), log.text() + failure
        )


class ReferenceRegistry(RunningRegistry):
    """A reference registry in this process. Its clock can be turned: *clock*, which others may
    share, or one of its own. *observers* see every request."""

    def __init__(
        self,
        target: ReferenceTarget,
        settings: Settings,
        workdir: Path,
        *,
        clock: TurnableClock | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._profile = target.profile
        self._clock = clock or JumpingClock()
        self._reference = ReferenceServer(target, self._clock, tuple(observers))
        self._passed = timedelta(0)
        super().__init__(settings, workdir, self._reference)

    @property
    def served(self) -> Registry:
        """The repositories it serves, for use on the lab loop. ``LookupError`` if it does not
        run."""
        served = self._reference.served
        if served is None:
            raise LookupError(f"reference@{self._profile.name} does not run")
        return served

    def caches_now(self) -> bool | None:
        """Whether it is caching something in the background."""
        if isinstance(served := self._reference.served, ProxyRegistry):
            try:
                lab_loop().run(asyncio.wait_for(served.settled(), _LOOK))
            except TimeoutError:
                return True
        return False

    def pass_time(self, delta: timedelta) -> None:
        """Turn the clock, once everything that is being fetched is cached."""
        if isinstance(served := self._reference.served, ProxyRegistry):
            lab_loop().run(served.settled())
        self.let_pass(delta)

    def let_pass(self, delta: timedelta) -> None:
        """Turn the clock."""
        self._clock.advance(delta)
        self._passed += delta

    def state(self) -> dict[str, StateEntry] | None:
        """The saved entries, with dates by the machine's clock: a turn of the registry's clock
        brings them nearer."""
        entries = super().state()
        if entries is None:
            return None
        for name, entry in entries.items():
            with suppress(OverflowError):
                entries[name] = replace(entry, expires=entry.expires - self._passed)
        return entries

    def await_state(
        self, predicate: Callable[[dict[str, StateEntry]], object], timeout: float = 10.0
    ) -> dict[str, StateEntry]:
        """The saved entries once *predicate* is true of them. If the profile saves every five
        seconds, the clock is turned to the next save."""
        if self._profile.saves_state == "at-once":
            return super().await_state(predicate, timeout)
        state = super().await_state(predicate, 0)
        for _ in range(max(1, int(timeout / _SAVED_SOON))):
            if predicate(state):
                break
            self._clock.advance(SAVE_INTERVAL)
            state = super().await_state(predicate, _SAVED_SOON)
        return state
