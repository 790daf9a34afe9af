"""A registry under test while it runs, and everything a scenario can ask of it."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

from harness.http.client import Answer, Exchange, RegistryClient, Verbs
from harness.http.redaction import redact_text
from harness.system.disk import Disk
from harness.system.ports import scaled
from harness.targets.errors import NotOffered
from harness.targets.readings import (
    SAVE_INTERVAL,
    GcRun,
    Metrics,
    StateEntry,
    read_state,
    shift_expiry,
)
from harness.targets.settings import Files, Settings
from harness.upstream import MockUpstream

T = TypeVar("T")

_POLL = 0.005
"""Seconds between two looks at a condition that sends no signal."""
_DEBUG_LISTENS = 2.0


NOWHERE = "http://127.0.0.1:0"
"""The URL of a listener that does not exist (yet)."""

During = Literal["marking", "deleting"]
"""A phase of garbage collection."""


class Addresses(NamedTuple):
    """``http://127.0.0.1:PORT`` of the API and of the debug listener."""

    url: str
    debug_url: str = NOWHERE


class TargetServer(ABC):
    """Starts, ends and describes what serves. It never calls the registry that owns it."""

    exit_code: int | None = None
    """Of the process that ended last (negative: the signal that ended it), or None."""

    @property
    def pid(self) -> int | None:
        """The process that serves; None if nothing runs or it has no process of its own."""
        return None

    @abstractmethod
    def start(self, files: Files) -> Addresses:
        """Write the configuration, start, and return once it listens. Raises ``DidNotStart``."""

    @abstractmethod
    def stop(self) -> None:
        """End it in order (SIGTERM). Does nothing if it does not run."""

    @abstractmethod
    def kill(self) -> None:
        """End it as a crash does (SIGKILL). Does nothing if it does not run."""

    @abstractmethod
    def output(self) -> str:
        """Everything it has written, earlier runs included."""

    def collect(self, files: Files, *, dry_run: bool, delete_untagged: bool, online: bool) -> GcRun:
        """Run ``garbage-collect``; *online* with the flags for a registry that serves."""
        raise NotOffered("this target has no garbage-collect command that could be run")

    def kill_collection(self, files: Files, during: During, *, gently: bool) -> None:
        """Start a collection and kill it in the middle of *during*."""
        raise NotOffered("only a garbage collection in a process of its own can be killed")


class RunningRegistry(Verbs):
    """One registry with its client, storage, configuration and log. *server* runs it.

    Its files are below *workdir*: ``config.yml``, ``htpasswd`` and ``storage``, which may have
    content before the launch. The port may change with a restart; ``client`` follows.
    """

    def __init__(
        self,
        settings: Settings,
        workdir: Path,
        server: TargetServer,
        client: RegistryClient | None = None,
    ) -> None:
        self.files = Files(settings, workdir)
        self.server = server
        self.workdir, self.root = workdir, self.files.root
        self.config_path, self.state_path = self.files.config, self.files.state
        self.disk = Disk(self.root)
        self.reaches_loopback = True
        """Whether ``127.0.0.1`` is this machine where the registry runs."""
        self.client = client or RegistryClient(NOWHERE)
        self.exchanges: list[Exchange] = self.client.exchanges
        """Every request of ``client`` with its response, in the order in which they ended."""
        self.polled: list[Exchange] = []
        """The exchanges of :meth:`eventually` before its condition was true."""
        self._debug_client = RegistryClient(NOWHERE)
        self.request = self.client.request
        self._started_at = 0.0

    @property
    def settings(self) -> Settings:
        """What it was launched or restarted with."""
        return self.files.settings

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT`` of the API."""
        return self.client.url

    @property
    def debug_url(self) -> str:
        """``http://127.0.0.1:PORT`` of the debug listener."""
        return self._debug_client.url

    @property
    def pid(self) -> int | None:
        """The process that serves; None if nothing runs or it has no process of its own."""
        return self.server.pid

    @property
    def exit_code(self) -> int | None:
        """Of the process that ended last; negative: the signal that ended it."""
        return self.server.exit_code

    def start(self) -> None:
        """Write the configuration, start, and return once it listens. Raises ``DidNotStart``."""
        self.files.prepare()
        self.client.secrets = self.settings.secrets()
        self._started_at = time.time()
        self.client.url, self._debug_client.url = self.server.start(self.files)

    def stop(self) -> None:
        """End it as an operator does (SIGTERM). Does nothing if it does not run."""
        self.server.stop()
        self._close_clients()

    def kill(self) -> None:
        """End it as a crash does: nothing is saved, nothing finished."""
        self.server.kill()
        self._close_clients()

    def restart(self, **changes: Any) -> None:
        """Stop and start again on the same storage, with *changes* to :class:`Settings`."""
        self.stop()
        self.files = replace(self.files, settings=replace(self.settings, **changes))
        self.start()

    def _close_clients(self) -> None:
        self.client.close()
        self._debug_client.close()

    def attach(self, upstream: MockUpstream) -> None:
        """Make *upstream* its upstream. Does nothing here, because the settings have its URL."""

    def logs(self, *, redacted: bool = True) -> str:
        """Its output since the launch, restarts included. Credentials are replaced unless
        *redacted* is false: some scenarios test that the registry itself leaves them out."""
        output = self.server.output()
        return redact_text(output, self.settings.secrets()) if redacted else output

    def health(self) -> Answer:
        """The answer of ``/debug/health``."""
        return self.debug("/debug/health")

    def debug(self, path: str) -> Answer:
        """The answer of the debug listener to GET *path*. 3.x opens it a moment after the API."""
        deadline = time.monotonic() + scaled(_DEBUG_LISTENS)
        while True:
            answer = self._debug_client.get(path)
            if answer.status is not None or time.monotonic() >= deadline:
                return answer
            time.sleep(_POLL)

    def metrics(self) -> Metrics:
        """A scrape of ``/metrics``. ``ValueError`` if the debug listener does not answer 200."""
        answer = self.debug("/metrics")
        if answer.status != 200:
            raise ValueError(f"/metrics answered {answer.status or answer.error}")
        return Metrics.parse(answer.body.decode())

    def state(self) -> dict[str, StateEntry] | None:
        """The entries of ``scheduler-state.json``; None if there is no file, ``ValueError`` if it
        is damaged. :meth:`pass_time` moves their dates."""
        return read_state(self.state_path)

    def caches_now(self) -> bool | None:
        """Whether it is caching something in the background; None if that is unknown."""
        return None

    def eventually(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """The first true value of *predicate*, or its last one after *timeout* seconds (more on a
        busy machine): the scenario's expectation of it says more than an exception here would."""
        deadline = time.monotonic() + scaled(timeout)
        while True:
            before = len(self.exchanges)
            value = predicate()
            if value or time.monotonic() >= deadline:
                return value
            self.polled += self.exchanges[before:]
            time.sleep(_POLL)

    def await_stored(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """:meth:`eventually`, for a condition on :attr:`disk`, and until the requests that caused
        it are finished: upstream gets no more of them afterwards."""
        value = self.eventually(predicate, timeout)
        self.await_served()
        return value

    def await_served(self) -> None:
        """Wait until no request is in progress, as :meth:`RegistryClient.await_served` does."""
        self.client.await_served()

    def await_state(
        self, predicate: Callable[[dict[str, StateEntry]], object], timeout: float = 10.0
    ) -> dict[str, StateEntry]:
        """The saved entries once *predicate* is true of them, or as they are after *timeout*
        seconds. No file counts as no entries."""
        state: dict[str, StateEntry] = {}

        def holds() -> bool:
            nonlocal state
            state = self.state() or {}
            return bool(predicate(state))

        self.eventually(holds, timeout)
        return state

    def pass_time(self, delta: timedelta) -> None:
        """Bring every expiry nearer by *delta*; what is due then happens in the background.

        Lets the registry save its schedule, stops it, moves the saved dates into the past and
        starts it again. Whatever it keeps in memory (descriptor cache, metrics) is lost.
        """
        if delta < timedelta(0):
            raise ValueError(f"time only passes forward, not by {delta}")
        # What is not saved one interval after it was cached is never scheduled.
        self.eventually(self._schedule_is_saved, SAVE_INTERVAL.total_seconds() + 0.5)
        self.stop()
        with suppress(FileNotFoundError, json.JSONDecodeError):
            self.state_path.write_text(shift_expiry(self.state_path.read_text(), -delta))
        self.start()

    def let_pass(self, delta: timedelta) -> None:
        """Let *delta* pass while it runs and keeps what it has in memory: by waiting, unless its
        clock can be turned."""
        time.sleep(delta.total_seconds())

    def _schedule_is_saved(self) -> bool:
        """Whether the saved schedule has everything this process cached, and nothing expired."""
        if any(self.disk.uploads(name) for name in self.disk.repositories()):
            return False
        links = self.disk.links()
        cached = {key: written for key, written in links.items() if written >= self._started_at}
        try:
            saved = self.state() or {}
            saved_at = self.state_path.stat().st_mtime
        except FileNotFoundError:
            return not cached
        except ValueError:
            return False
        now = datetime.now(UTC)
        return all(key in saved and written <= saved_at for key, written in cached.items()) and all(
            entry.expires > now for entry in saved.values()
        )

    def garbage_collect(
        self, *, dry_run: bool = False, delete_untagged: bool = False, online: bool = False
    ) -> GcRun:
        """Run ``garbage-collect`` on the same configuration, whether or not it serves. *online*
        adds the flags for a registry that serves meanwhile, if the program has any."""
        flags = {"dry_run": dry_run, "delete_untagged": delete_untagged, "online": online}
        return self.server.collect(self.files, **flags)

    def kill_garbage_collection(self, during: During, *, gently: bool = False) -> None:
        """Start a collection and kill it in the middle of *during*, for which there have to be
        about a hundred things to mark or delete. *gently* uses SIGTERM, as the end of a
        maintenance window does. For scenarios with ``Need.PROCESS``."""
        self.server.kill_collection(self.files, during, gently=gently)


class ForeignRegistry(RunningRegistry):
    """A registry that does not use distribution's configuration and storage: its ``disk`` is empty.
    *where* is its name in errors."""

    where = "this target"

    def refuse_settings(self, known: Collection[str]) -> None:
        """Raises ``NotOffered`` if the settings differ from the defaults in a field that is not in
        *known*."""
        plain, harmless = Settings(), {"own_process", "secret", "prometheus"}
        asked = [
            field.name
            for field in fields(Settings)
            if field.name not in harmless | set(known)
            and getattr(self.settings, field.name) != getattr(plain, field.name)
        ]
        if asked:
            raise NotOffered(f"{self.where} cannot be set up with {' and '.join(sorted(asked))}")

    def await_stored(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """The value of *predicate* at once: an empty disk shows nothing to wait for."""
        return predicate()

    def await_served(self) -> None:
        """Does not wait: the request could count against a limit."""

    def pass_time(self, delta: timedelta) -> None:
        self._lacks("no clock that could be turned")

    def state(self) -> dict[str, StateEntry] | None:
        self._lacks("no scheduler-state.json")

    def _lacks(self, what: str) -> NoReturn:
        raise NotOffered(f"{self.where} has {what}")
