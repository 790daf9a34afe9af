"""``reference[@PROFILE]``: the reference registry, run in this process in a few milliseconds."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from harness.system.loop import lab_loop
from harness.system.needs import Need
from harness.targets.errors import DidNotStart, TargetError
from harness.targets.garbage import GcRun
from harness.targets.jumping_clock import JumpingClock, TurnableClock
from harness.targets.process_registry import ProcessRegistry, Program
from harness.targets.reference_log import Log
from harness.targets.registry import NOWHERE, RunningRegistry
from harness.targets.settings import Settings
from harness.targets.state import SAVE_INTERVAL, StateEntry
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
from reference_registry.server.server import Server

__all__ = ["ReferenceRegistry", "ReferenceTarget"]

_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 20.0
_GRACE = timedelta(hours=1)
_LOOK = 0.02
"""Seconds that a look at what is under way may take."""
_SAVED_SOON = 0.25
"""Seconds of real time in which a registry that was woken has written its state."""


@dataclass(frozen=True)
class ReferenceTarget:
    """The reference registry under one profile."""

    profile: Profile

    @classmethod
    def named(cls, profile: str) -> ReferenceTarget:
        """``reference@``*profile*; ``TargetError`` with the known ones where there is none."""
        try:
            return cls(profile_named(profile))
        except ValueError as error:
            raise TargetError(f"reference@{profile}: {error}") from None

    @property
    def name(self) -> str:
        return f"reference@{self.profile.name}"

    @property
    def known_as(self) -> str:
        return self.name

    @property
    def implementation(self) -> str:
        return self.profile.implementation

    @property
    def version(self) -> str:
        return self.profile.name

    @property
    def release(self) -> str:
        return self.profile.name

    @property
    def capabilities(self) -> frozenset[Need]:
        """Everything, but for what only ``ideal`` knows."""
        return frozenset(Need) - (set() if self.profile.has_x_keys else {Need.X_KEYS})

    def check(self) -> None:
        """Nothing can be missing: it is part of this project."""

    def launch(self, settings: Settings, workdir: Path) -> RunningRegistry:
        """A registry that listens, its files under *workdir*. ``DidNotStart``."""
        registry: RunningRegistry = (
            ProcessRegistry(self._program(), settings, workdir)
            if settings.own_process
            else ReferenceRegistry(self, settings, workdir)
        )
        registry.start()
        return registry

    def _program(self) -> Program:
        python = [sys.executable, "-m", PACKAGE, "--profile", self.profile.name]
        online = ("--grace=1h",) if self.profile.gc_reports else ()
        return Program(python, self.name, self.redis_key, online)

    @property
    def redis_key(self) -> Literal["addr", "addrs"]:
        """How the profile wants the address spelt."""
        return "addr" if self.profile.redis_addresses == "addr" else "addrs"


class ReferenceRegistry(RunningRegistry):
    """Runs on the lab loop, by a clock that can be turned: by *clock*, which others may go by too,
    or by one of its own. *observers* are told of every request."""

    def __init__(
        self,
        target: ReferenceTarget,
        settings: Settings,
        workdir: Path,
        *,
        clock: TurnableClock | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        super().__init__(settings, workdir)
        self._target = target
        self._profile = target.profile
        self._clock = clock or JumpingClock()
        self._observers = tuple(observers)
        self._passed = timedelta(0)
        self._server: Server | None = None
        self._log: Log | None = None
        self._earlier_output = ""

    # -- life -----------------------------------------------------------------------------------
    def _begin(self) -> tuple[str, str]:
        self._write_config("127.0.0.1:0", "127.0.0.1:0", self._target.redis_key)
        config = self._load()
        try:
            server = self._serve(config)
        except CannotStart as problem:
            strict = self._profile.strict_config
            raise self._refused(2 if strict else problem.released_exit_code, problem) from problem
        except TimeoutError as late:
            raise DidNotStart(self._target.name, None, self._output()) from late
        return server.url, server.debug_url or NOWHERE

    @property
    def served(self) -> Registry:
        """The repositories that it serves, for use on the lab loop; ``LookupError`` where it does
        not run."""
        if self._server is None:
            raise LookupError(f"{self._target.name} does not run")
        return self._server.app.registry

    def _serve(self, config: Config) -> Server:
        self._log = log = Log(config)
        log.open()
        self._server = server = Server(
            config, profile=self._profile, clock=self._clock, observers=[log, *self._observers]
        )

        async def start() -> None:
            with log.speaking():
                await server.start()

        try:
            lab_loop().run(start(), _START_TIMEOUT)
        except BaseException:
            self._bury()
            raise
        return server

    def _end(self) -> None:
        if self._server is not None:
            drain = drain_time(self._server.config, self._profile) or timedelta(0)
            try:
                lab_loop().run(self._server.stop(drain), drain.total_seconds() + _STOP_TIMEOUT)
            finally:
                self._bury()

    def _end_at_once(self) -> None:
        """What is in flight is cut, but ends as code and not as a process does: it cleans up."""
        if self._server is None:
            return
        saved = self.state_path.read_bytes() if self.state_path.is_file() else None
        try:
            lab_loop().run(self._server.stop(), _STOP_TIMEOUT)
        finally:
            self._bury()
        if saved is not None:
            self.state_path.write_bytes(saved)
        else:
            self.state_path.unlink(missing_ok=True)

    def _bury(self) -> None:
        self._earlier_output = self._output()
        if self._log is not None:
            self._log.close()
        self._server = self._log = None

    def _output(self) -> str:
        return self._earlier_output + (self._log.text() if self._log else "")

    def _load(self) -> Config:
        try:
            return load(self.config_path, self.settings.environment, self._profile)
        except ConfigError as error:
            raise self._refused(error.exit_code, error) from error

    def _refused(self, exit_code: int, error: Exception) -> DidNotStart:
        output = f"{self._output()}{error}\n"
        reason = str(error).partition("\n")[0]
        return DidNotStart(self._target.name, exit_code, output, reason)

    def caches_now(self) -> bool | None:
        """As in the base class: what it fetches it tells."""
        registry = None if self._server is None else self._server.app.registry
        if isinstance(registry, ProxyRegistry):
            try:
                lab_loop().run(asyncio.wait_for(registry.settled(), _LOOK))
            except TimeoutError:
                return True
        return False

    # -- time -----------------------------------------------------------------------------------
    def pass_time(self, delta: timedelta) -> None:
        """Turn the clock, once what is being fetched has been cached."""
        server = self._server
        if server is not None and isinstance(server.app.registry, ProxyRegistry):
            lab_loop().run(server.app.registry.settled())
        self._clock.advance(delta)
        self._passed += delta

    def let_pass(self, delta: timedelta) -> None:
        """Turn the clock."""
        self._clock.advance(delta)
        self._passed += delta

    def state(self) -> dict[str, StateEntry] | None:
        """As in the base class. The moments are those of the machine's clock: what has passed by
        turning the registry's is taken off, so that an entry comes nearer here, too."""
        entries = super().state()
        return entries and {name: self._nearer(entry) for name, entry in entries.items()}

    def _nearer(self, entry: StateEntry) -> StateEntry:
        with suppress(OverflowError):
            return replace(entry, expires=entry.expires - self._passed)
        return entry

    def await_state(
        self, predicate: Callable[[dict[str, StateEntry]], object], timeout: float = 10.0
    ) -> dict[str, StateEntry]:
        """As in the base class, but a profile that saves every five seconds is not waited for: its
        clock is turned to the next tick."""
        if self._profile.saves_state == "at-once":
            return super().await_state(predicate, timeout)
        attempts = max(1, int(timeout / _SAVED_SOON))
        for _ in range(attempts):
            state = super().await_state(predicate, 0)
            if predicate(state):
                return state
            self._clock.advance(SAVE_INTERVAL)
            state = super().await_state(predicate, _SAVED_SOON)
            if predicate(state):
                return state
        return state

    # -- garbage --------------------------------------------------------------------------------
    def garbage_collect(
        self, *, dry_run: bool = False, delete_untagged: bool = False, online: bool = False
    ) -> GcRun:
        try:
            config = self._load()
        except DidNotStart as refused:
            return GcRun(refused.exit_code or 1, "", refused.message)
        grace = _GRACE if online and self._profile.gc_reports else timedelta(0)
        options = Options(dry_run=dry_run, delete_untagged=delete_untagged, grace=grace)
        out, log = io.StringIO(), Log(config)
        log.open()
        try:
            with log.speaking():
                report = collect(
                    config.storage, self._profile, options, lambda line: print(line, file=out)
                )
        finally:
            log.close()
        if report["error"] is None:
            return GcRun(0, out.getvalue(), log.text())
        failure = f"failed to garbage collect: {report['error']}"
        return GcRun(1, out.getvalue(), log.text() + failure)
