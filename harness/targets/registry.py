"""A registry that a target has launched, whatever stands behind it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from harness.http.client import Answer, Exchange, RegistryClient
from harness.http.redaction import redact_text
from harness.http.verbs import Verbs
from harness.system.disk import Disk
from harness.targets.garbage import GcRun
from harness.targets.metrics import Metrics
from harness.targets.settings import HTPASSWD, Settings, config_text, htpasswd_text, render
from harness.targets.state import FILE_NAME, StateEntry, read_state

if TYPE_CHECKING:
    from harness.upstream import MockUpstream

__all__ = ["NOWHERE", "RunningRegistry"]

NOWHERE = "http://127.0.0.1:0"
"""The URL of what does not listen (yet)."""

T = TypeVar("T")

_POLL = 0.005
"""Seconds between two looks at a condition that nobody announces."""
_DEBUG_LISTENS = 1.0


class RunningRegistry(Verbs, ABC):
    """One registry with its client, storage, configuration and log.

    Files lie under *workdir*: ``config.yml``, ``htpasswd`` and ``storage``. What is there already
    is served, so that a tree can be prepared before the launch. The port may change with a restart;
    ``client`` follows.
    """

    def __init__(self, settings: Settings, workdir: Path) -> None:
        self.settings = settings
        self.workdir = workdir
        self.root = settings.root or workdir / "storage"
        self.config_path = workdir / "config.yml"
        self.state_path = self.root / FILE_NAME
        self.disk = Disk(self.root)
        self.reaches_loopback = True
        """Whether ``127.0.0.1`` is this machine where it runs."""
        self.exit_code: int | None = None
        """Of the process that was stopped or killed last; negative: the signal that ended it."""
        self.client = self._new_client()
        self.exchanges: list[Exchange] = self.client.exchanges
        """Every request of ``client`` with its answer, in the order in which they ended."""
        self.polled: list[Exchange] = []
        """Those of them that asked too early for what :meth:`eventually` waits for."""
        self._debug_client = RegistryClient(NOWHERE)
        self.request = self.client.request

    def _new_client(self) -> RegistryClient:
        """Who asks it."""
        return RegistryClient(NOWHERE)

    # -- where it is ----------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT`` of the API, without a path."""
        return self.client.url

    @property
    def debug_url(self) -> str:
        """The same of the debug listener."""
        return self._debug_client.url

    @property
    def pid(self) -> int | None:
        """Of the process that serves; None where it is none of its own, or none runs."""
        return None

    # -- life -----------------------------------------------------------------------------------
    def start(self) -> None:
        """Write the configuration, start, and return once it listens. ``DidNotStart`` where it
        ends instead."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.client.secrets = self.settings.secrets()
        if self.settings.htpasswd is not None:
            path = self.workdir / HTPASSWD
            path.write_text(htpasswd_text(self.settings.htpasswd))
        self.client.url, self._debug_client.url = self._begin()

    def stop(self) -> None:
        """As an operator stops it (SIGTERM). Nothing happens where it does not run."""
        self._end()
        self._hang_up()

    def kill(self) -> None:
        """As a crash stops it: nothing is saved, nothing finished."""
        self._end_at_once()
        self._hang_up()

    def restart(self, **changes: Any) -> None:
        """Stop and start again on the same storage, with *changes* to :class:`Settings`."""
        self.stop()
        self.settings = replace(self.settings, **changes)
        self.start()

    @abstractmethod
    def _begin(self) -> tuple[str, str]:
        """Start it and return the URLs of its API and its debug listener."""

    @abstractmethod
    def _end(self) -> None: ...

    @abstractmethod
    def _end_at_once(self) -> None: ...

    def _hang_up(self) -> None:
        self.client.close()
        self._debug_client.close()

    def meet(self, upstream: MockUpstream) -> None:
        """*upstream*, whose URL the settings have, is the one that it caches: nothing to do for
        whoever was configured so."""

    # -- what can be seen of it -----------------------------------------------------------------
    def logs(self, *, redacted: bool = True) -> str:
        """What it wrote since it was launched, restarts included. Credentials are replaced, unless
        a scenario wants to know whether the registry itself leaves them out."""
        output = self._output()
        return redact_text(output, self.settings.secrets()) if redacted else output

    @abstractmethod
    def _output(self) -> str: ...

    def health(self) -> Answer:
        """The answer of ``/debug/health``."""
        return self._ask_debug_listener("/debug/health")

    def debug(self, path: str) -> Answer:
        """The answer to GET of any *path* of the debug listener."""
        return self._ask_debug_listener(path)

    def _ask_debug_listener(self, path: str) -> Answer:
        """The answer to GET of *path*. 3.x opens this listener a moment after the other one."""
        deadline = time.monotonic() + _DEBUG_LISTENS
        while True:
            answer = self._debug_client.get(path)
            if answer.status is not None or time.monotonic() >= deadline:
                return answer
            time.sleep(_POLL)

    def metrics(self) -> Metrics:
        """A scrape of ``/metrics``; ``ValueError`` where the debug listener gives none."""
        answer = self._ask_debug_listener("/metrics")
        if answer.status != 200:
            raise ValueError(f"/metrics answered {answer.status or answer.error}")
        return Metrics.parse(answer.body.decode())

    def state(self) -> dict[str, StateEntry] | None:
        """The entries of ``scheduler-state.json`` as it is now; None where there is no file,
        ``ValueError`` where it is damaged. After :meth:`pass_time` the entries are nearer by what
        has passed."""
        return read_state(self.state_path)

    # -- time -----------------------------------------------------------------------------------
    def eventually(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """The first true value of *predicate*, or its last one after *timeout* seconds: what the
        scenario then expects of it tells more than an exception here."""
        deadline = time.monotonic() + timeout
        while True:
            before = len(self.exchanges)
            value = predicate()
            if value or time.monotonic() >= deadline:
                return value
            self.polled += self.exchanges[before:]
            time.sleep(_POLL)

    def caches_now(self) -> bool | None:
        """Whether something is being cached in the background; None where nobody can tell."""
        return None

    def await_stored(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """As :meth:`eventually`, for what will lie on :attr:`disk`."""
        return self.eventually(predicate, timeout)

    def await_state(
        self, predicate: Callable[[dict[str, StateEntry]], object], timeout: float = 10.0
    ) -> dict[str, StateEntry]:
        """The saved entries once *predicate* is true of them, or after *timeout* seconds as they
        are then. No file counts as no entries."""
        state: dict[str, StateEntry] = {}

        def holds() -> bool:
            nonlocal state
            state = self.state() or {}
            return bool(predicate(state))

        self.eventually(holds, timeout)
        return state

    @abstractmethod
    def pass_time(self, delta: timedelta) -> None:
        """Make every expiry come nearer by *delta*. What is due then is done in the background:
        await it."""

    def let_pass(self, delta: timedelta) -> None:
        """Let *delta* go by while it runs, keeping what it has in memory: by waiting, unless its
        clock can be turned."""
        time.sleep(delta.total_seconds())

    @abstractmethod
    def garbage_collect(
        self, *, dry_run: bool = False, delete_untagged: bool = False, online: bool = False
    ) -> GcRun:
        """Run ``garbage-collect`` on the same configuration, whether or not it serves meanwhile.
        *online*: as it is to be run then, where the program knows such a way."""

    def kill_garbage_collection(
        self, during: Literal["marking", "deleting"], *, gently: bool = False
    ) -> None:
        """Begin one and kill it in the middle of that, for which there has to be a hundred of
        things to mark or to delete. *gently*: by SIGTERM, as a maintenance window's end does. For
        scenarios with ``Need.PROCESS``."""
        raise NotImplementedError("only what is a process of its own can be killed")

    # -- for subclasses -------------------------------------------------------------------------
    def _write_config(
        self, addr: str, debug_addr: str, redis_key: Literal["addr", "addrs"] = "addr"
    ) -> None:
        document = render(
            self.settings,
            root=self.root,
            htpasswd=self.workdir / HTPASSWD,
            addr=addr,
            debug_addr=debug_addr,
            redis_key=redis_key,
        )
        self.config_path.write_text(config_text(document))
