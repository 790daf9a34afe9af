"""The servers of one test.

A :class:`Lab` starts mock upstreams and registries under test, collects what they show, and stops
them at the end.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.compare.observation import (
    Names,
    Observation,
    observed_disk,
    observed_state,
    observed_steps,
    observed_upstream,
)
from harness.compare.trace import DiskWatch, Trace, client_event, upstream_event
from harness.http.conversation import render_conversation
from harness.suite.scenario import Need
from harness.system.crashes import SmallDisk
from harness.targets import NotOffered, Target
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings
from harness.upstream import LedgerEntry, MockUpstream

_CALM = 0.12
"""Seconds without a change after which no more is expected."""
_CALM_AMID_UPLOADS = 0.6
"""The same while an upload directory exists, whose upload may be in progress."""
_SETTLED_AT_LAST = 3.0
_POLL = 0.02


class Lab:
    """The servers of one test, in its own directory *workdir*. With *traces*, the disk is scanned
    after each request, for :meth:`trace`."""

    def __init__(self, workdir: Path, *, traces: bool = False) -> None:
        self.workdir = workdir
        self._traces = traces
        self._watches: list[DiskWatch] = []
        self._upstreams: list[MockUpstream] = []
        self._registries: list[RunningRegistry] = []
        self._disks: list[SmallDisk] = []

    def small_disk(self, size: int) -> SmallDisk:
        """A file system of *size* bytes. If it cannot be made, the test is skipped, or fails where
        real parts are required."""
        place = self.workdir / f"disk-{len(self._disks) + 1}"
        place.mkdir()
        disk = SmallDisk(place, size)
        self._disks.append(disk)
        return disk

    def upstream(self, **options: Any) -> MockUpstream:
        """A listening mock upstream; *options* are those of ``MockUpstream``."""
        if not all(registry.reaches_loopback for registry in self._registries):
            raise NotOffered("a remote registry cannot reach a second server on this machine")
        upstream = MockUpstream(**options)
        upstream.start()
        self._upstreams.append(upstream)
        return upstream

    def launch(self, target: Target, settings: Settings) -> RunningRegistry:
        """A listening registry of *target*. Raises ``DidNotStart``."""
        workdir = self.workdir / f"registry-{len(self._registries) + 1}"
        workdir.mkdir(parents=True, exist_ok=True)
        registry = target.launch(settings, workdir)
        self._registries.append(registry)
        if self._traces:
            watch = DiskWatch(registry.root, len(self._registries))
            watch.look()
            registry.client.on_exchange = watch.look
            self._watches.append(watch)
        return registry

    def attach(self, registry: RunningRegistry, upstream: MockUpstream) -> None:
        """Connect *registry* to *upstream*, whose URL it was launched with. ``NotOffered``."""
        if not registry.reaches_loopback and len(self._upstreams) > 1:
            raise NotOffered("a remote registry cannot reach a second server on this machine")
        registry.attach(upstream)

    def conversation(self) -> str:
        """All requests and answers so far, in order, and the ends of the registries' logs."""
        return render_conversation(
            [(registry.exchanges, registry.logs()) for registry in self._registries],
            [upstream.ledger.entries for upstream in self._upstreams],
        )

    def settle(self) -> None:
        """Wait until upstreams and storages stop changing, so that work after the last answer is
        observed too; for three seconds at most, since some never stop."""
        deadline = time.monotonic() + _SETTLED_AT_LAST
        calm_since, seen = time.monotonic(), None
        while (now := time.monotonic()) < deadline:
            entries = [entry for upstream in self._upstreams for entry in upstream.ledger.entries]
            files = [registry.disk.files() for registry in self._registries]
            pending = any(entry.outcome == "pending" for entry in entries)
            if pending or seen != (seen := (len(entries), files)):
                calm_since = now
            uploads = any("/_uploads/" in path for paths in files for path in paths)
            if now - calm_since > (_CALM_AMID_UPLOADS if uploads else _CALM):
                return
            time.sleep(_POLL)

    def trace(self) -> Trace:
        """All exchanges and changes on disk, in order. Call it after :meth:`close`, which scans the
        disks for the last time."""

        def say(text: str) -> str:
            return text.replace(str(self.workdir), "<workdir>")

        polls = self._polls()
        events = [event for watch in self._watches for event in watch.changes]
        events += [
            client_event(exchange, number, say)
            for number, registry in enumerate(self._registries, 1)
            for exchange in registry.exchanges
            if (exchange.order, exchange.ended) not in polls
        ]
        events += [
            upstream_event(entry, number, say)
            for number, entries in enumerate(self._asked(), 1)
            for entry in entries
        ]
        return Trace.of(events, len(polls))

    def _polls(self) -> set[tuple[int, int]]:
        """The order of the beginning and end of each request that polled for a condition."""
        return {(one.order, one.ended) for registry in self._registries for one in registry.polled}

    def _asked(self) -> list[list[LedgerEntry]]:
        """What reached each upstream, without requests during a client's polling: how often it
        polled is random."""
        polls = self._polls()
        return [
            [
                entry
                for entry in upstream.ledger.entries
                if not any(begin < entry.order < end for begin, end in polls)
            ]
            for upstream in self._upstreams
        ]

    def observe(self) -> Observation:
        """Everything that was shown. Call it after :meth:`close`, so that it is complete."""
        known = {str(self.workdir): "<workdir>"}
        for number, upstream in enumerate(self._upstreams, 1):
            known[upstream.url] = f"http://<upstream {number}>"
        names = Names(known)
        now = datetime.now(UTC)
        parts = [
            Observation(upstream=observed_upstream(entries, number, names))
            for number, entries in enumerate(self._asked(), 1)
        ]
        for number, registry in enumerate(self._registries, 1):
            place = "" if number == 1 else f"registry {number}: "
            polled = frozenset(exchange.order for exchange in registry.polled)
            parts.append(
                Observation(
                    steps=observed_steps(registry.exchanges, names, polled),
                    disk=observed_disk(registry.disk, names, place),
                    state=_state(registry, now, place),
                )
            )
        return Observation.join(parts)

    def close(self) -> None:
        """Stop everything; registries first, so that none of them loses its upstream."""
        for registry in reversed(self._registries):
            registry.stop()
        for watch in self._watches:
            watch.look(last=True)
        for upstream in reversed(self._upstreams):
            upstream.stop()
        for disk in self._disks:
            disk.close()


def _state(registry: RunningRegistry, now: datetime, place: str) -> dict[str, str]:
    if registry.settings.upstream_url is None:
        return {}
    try:
        return observed_state(registry.state, registry.disk, now, place)
    except NotOffered:  # The target keeps its schedule in another way.
        return {}


class TargetUnderTest:
    """The ``target`` fixture: launches registries of the target that the test runs on."""

    def __init__(self, target: Target, lab: Lab, needs: Collection[Need] = ()) -> None:
        """*needs* are those of the scenario."""
        self.target = target
        self._lab = lab
        self._own_process = Need.PROCESS in needs

    @property
    def name(self) -> str:
        """Such as ``reference@ideal`` or ``docker-registry``."""
        return self.target.name

    def has(self, need: Need) -> bool:
        """Whether the target offers *need*."""
        return need in self.target.capabilities

    def proxy(self, upstream: MockUpstream, **settings: Any) -> RunningRegistry:
        """A pull-through cache of *upstream*; *settings* are fields of ``Settings``."""
        registry = self._launch(Settings(upstream_url=upstream.url, **settings))
        self._lab.attach(registry, upstream)
        return registry

    def standard(self, **settings: Any) -> RunningRegistry:
        """A standard registry, without upstream."""
        return self._launch(Settings(**settings))

    def _launch(self, settings: Settings) -> RunningRegistry:
        return self._lab.launch(self.target, replace(settings, own_process=self._own_process))
