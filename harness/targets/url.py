"""``url:URL``: a registry that runs already, and that nobody here has configured.

Its upstream is its operator's, or, with ``--upstream-at HOST:PORT``, a mock upstream: it has been
pointed at that address, where those of scenarios then answer, one after another.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from harness.http.namespace import Namespace
from harness.system.needs import Need
from harness.targets.access import Access
from harness.targets.errors import NotOffered, TargetError
from harness.targets.foreign import ForeignRegistry, refuse_settings
from harness.targets.identity import Identified, Identity
from harness.targets.registry import NOWHERE
from harness.targets.remote_client import RemoteClient
from harness.targets.remote_login import RemoteLogin
from harness.targets.settings import Settings
from harness.targets.url_probe import Offers, await_upstream, probe
from harness.upstream import MockUpstream
from harness.upstream.gateway import Gateway
from reference_registry.names import is_repository_name

__all__ = ["UrlRegistry", "UrlTarget"]

T = TypeVar("T")

_STORES = 0.15
"""Seconds in which a cache has stored what it has just passed on: releases of distribution answer
first, and from outside nobody can see when they have finished."""

_UNKNOWN = Identity("unknown", "unknown")
_RUN = secrets.token_hex(4)
"""Tells the names of this process's tests from those of all others."""
_NUMBERS = count(1)


@dataclass(frozen=True)
class UrlTarget(Identified):
    """The registry at *origin* (scheme, host and port), with all names below *place*."""

    origin: str
    place: str = ""
    access: Access = field(default_factory=Access)
    identity: Identity = _UNKNOWN
    """What the operator says; else nobody knows, and nothing is excused."""
    _in_use: list[UrlRegistry] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def find(cls, url: str, access: Access) -> UrlTarget:
        """The registry that answers at *url*, probed. ``TargetError`` where none does."""
        found = cls(*_parsed(url), access, access.known_as or _UNKNOWN)
        _ = found.offers
        return found

    @property
    def name(self) -> str:
        """Host and port, and the place."""
        host = self.origin.partition("://")[2]
        return f"{host}/{self.place}" if self.place else host

    @property
    def known_as(self) -> str:
        return self.access.build or self.name

    @property
    def capabilities(self) -> frozenset[Need]:
        """As probed. It runs as it does, but that may be what a scenario wants; what it does not
        want is told when it is launched. What it lists of others is no concern of a scenario."""
        return self.offers.needs | {Need.CONFIG}

    @cached_property
    def offers(self) -> Offers:
        """What the registry lets be done; asked once. ``TargetError``."""
        door = self.open_door()
        client = self.client(self.names())
        try:
            return probe(client, self.where, door, writes=self.access.allow_writes)
        finally:
            client.close()
            if door is not None:
                door.close()

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"url:{self.origin}" + (f"/{self.place}" if self.place else "")

    def check(self) -> None:
        """Probing it has checked it."""

    def names(self) -> Namespace:
        """Names that nobody has used before."""
        return Namespace(f"pullproof-{_RUN}-{next(_NUMBERS)}", self.place)

    def client(self, names: Namespace) -> RemoteClient:
        """Somebody who asks it. ``TargetError`` for certificates that cannot be read."""
        return RemoteClient(
            self.origin,
            self.access,
            names,
            where=self.where,
            tls=self._tls,
            login=self.login,
        )

    @cached_property
    def login(self) -> RemoteLogin:
        """How all clients log in; learnt when it was probed."""
        return RemoteLogin(self.where, self.origin, self._tls, self.access.login)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self.access.tls()

    def open_door(self) -> Gateway | None:
        """The address where it looks for its upstream, or None where that is not ours.
        ``TargetError`` where the address cannot be had."""
        if self.access.upstream_at is None:
            return None
        door = Gateway(*self.access.upstream_at)
        try:
            door.open()
        except OSError as problem:
            raise TargetError(
                f"--upstream-at: cannot listen on {door.address}: {problem.strerror}; "
                "it is where the mock upstream of each scenario answers, so nobody else may"
            ) from problem
        return door

    def launch(self, settings: Settings, workdir: Path) -> UrlRegistry:
        """It as a scenario wants it. ``NotOffered`` where it is not like that."""
        registry = UrlRegistry(self, settings, workdir)
        registry.start()
        return registry

    def take(self, registry: UrlRegistry) -> None:
        """*registry* is it now. ``NotOffered`` where another one is: there are no two of it."""
        if self._in_use:
            raise NotOffered(f"{self.where} is one registry, and a second one is wanted")
        self._in_use.append(registry)

    def give_back(self, registry: UrlRegistry) -> None:
        """Another one may be it."""
        if registry in self._in_use:
            self._in_use.remove(registry)


class UrlRegistry(ForeignRegistry):
    """It, for one test, below names of the test's own. It is neither started nor stopped."""

    def __init__(self, target: UrlTarget, settings: Settings, workdir: Path) -> None:
        self._target = target
        self.remote = target.client(target.names())
        super().__init__(settings, workdir)
        self.where = target.where
        self._door: Gateway | None = None
        self._awaits_upstream = settings.upstream_url is not None
        self.remote.refuse = self._why_not
        self._settled_after = 0

    def _new_client(self) -> RemoteClient:
        return self.remote

    def start(self) -> None:
        refuse_settings(self.where, self.settings, self._known())
        offers, access = self._target.offers, self._target.access
        if self._awaits_upstream and not offers.upstream:
            raise NotOffered(
                f"the upstream of {self.where} is its operator's; a scenario with one of its own "
                "needs --upstream-at HOST:PORT"
            )
        if not self._awaits_upstream and not access.allow_writes:
            raise NotOffered(f"to push to {self.where} needs --allow-writes")
        if not self._awaits_upstream and offers.why_no_pushes:
            raise NotOffered(f"{self.where} takes no pushes: {offers.why_no_pushes}")
        self._target.take(self)
        self.reaches_loopback = offers.reaches_loopback
        self.request = self._ask if self._awaits_upstream else self.client.request

    def _known(self) -> set[str]:
        return {"upstream_url"} | ({"delete_enabled"} if self._target.offers.deletes else set())

    def meet(self, upstream: MockUpstream) -> None:
        """*upstream* is its upstream from now on. ``NotOffered`` where it cannot be that."""
        door = self._door = self._target.open_door()
        assert door is not None
        with self.remote.asking_as(self._target.names()):
            answer = await_upstream(self.remote, door)
        self.exchanges.clear()
        if answer.status != 200:
            raise NotOffered(f"{self.where} does not ask its upstream again after it had failed")
        try:
            upstream.stand_behind(door, self.remote.names)
        except ValueError as problem:
            raise NotOffered(f"{self.where} runs on after the scenario: {problem}") from problem
        self._awaits_upstream = False
        self.request = self.client.request

    def _why_not(self, method: str, path: str) -> str | None:
        if path.startswith("/v2/_catalog"):
            return "lists the repositories of others, too"
        disposes = method == "DELETE" and "/uploads/" not in path
        if disposes and self._target.offers.deletes and not self.settings.delete_enabled:
            return "has deletion enabled, which the scenario wants to be disabled"
        return None

    def _ask(self, *arguments: Any, **options: Any) -> NoReturn:
        raise NotOffered(f"{self.where} has another upstream than the scenario wants")

    def stop(self) -> None:
        """Nothing is asked of it any more; it runs on."""
        self._target.give_back(self)
        self._hang_up()
        if self._door is not None:
            self._door.close()

    def kill(self) -> None:
        self._lacks("no process that could be killed")

    def restart(self, **changes: Any) -> None:
        self._lacks("an operator of its own, who alone can restart it")

    def _begin(self) -> tuple[str, str]:
        return self._target.origin, NOWHERE

    def _end(self) -> None:
        """It runs on."""

    def _end_at_once(self) -> None:
        """Likewise."""

    def _output(self) -> str:
        return f"repositories are named {self.remote.names.front}... there\n"

    def await_stored(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """Gives it the time to store what it has passed on since it was last waited for."""
        if len(self.exchanges) != self._settled_after:
            self.let_pass(timedelta(seconds=_STORES))
            self._settled_after = len(self.exchanges)
        return predicate()


def _parsed(url: str) -> tuple[str, str]:
    """Origin and place of *url*. ``TargetError``, without the password that may stand in it."""
    fix = "give it as url:https://registry.example:5000, or with a place for all names behind it"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise TargetError(f"url: {problem}; {fix}") from problem
    if parts.username is not None or parts.password is not None:
        raise TargetError(f"url:{parts.scheme}://...@{host}: no login in a URL; use --login")
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise TargetError(f"url:{url}: is no URL of a registry; {fix}")
    place = parts.path.strip("/").removeprefix("v2").strip("/")
    if place and not is_repository_name(place):
        raise TargetError(f"url:{url}: {place!r} cannot stand before a repository name; {fix}")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else ""), place
