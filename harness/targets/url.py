"""``url:URL``: a registry that runs already, configured by its operator.

Its upstream is its operator's. With ``--upstream-at HOST:PORT`` the operator has pointed it at that
address, where the mock upstreams of scenarios answer one after another.
"""

from __future__ import annotations

import re
import secrets
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
from harness.system.ports import scaled
from harness.targets.access import TargetAccess
from harness.targets.errors import NotOffered, TargetError
from harness.targets.registry import Addresses, ForeignRegistry, TargetServer
from harness.targets.remote_client import RemoteClient, RemoteLogin
from harness.targets.settings import Files, Settings
from harness.targets.target import Identity, Target
from harness.targets.url_probe import Offers, await_upstream, probe
from harness.upstream import MockUpstream
from harness.upstream.mock import Gateway
from reference_registry.names import is_repository_name

T = TypeVar("T")

_STORES = 0.15
"""Seconds within which a cache stores what it has just passed on. Releases of distribution answer
first and store later, which is invisible from outside."""

_UNKNOWN = Identity("unknown", "unknown")
_RUN = secrets.token_hex(4)
"""Distinguishes the repository names of this run."""
_NUMBERS = count(1)


@dataclass(frozen=True)
class UrlTarget(Target):
    """The registry at *origin* (scheme, host and port), with all names below *place*."""

    origin: str
    place: str = ""
    access: TargetAccess = field(default_factory=TargetAccess)
    identity: Identity = _UNKNOWN
    """As given by ``--known-as``; without it no deviation is excused."""
    _in_use: list[UrlRegistry] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def find(cls, url: str, access: TargetAccess) -> UrlTarget:
        """The registry that answers at *url*, probed. ``TargetError`` if none does."""
        found = cls(*_parsed(url), access, access.known_as or _UNKNOWN)
        _ = found.offers
        return found

    @property
    def name(self) -> str:
        """Host, port and place."""
        host = self.origin.partition("://")[2]
        return f"{host}/{self.place}" if self.place else host

    @property
    def known_as(self) -> str:
        return self.access.build or self.name

    @property
    def capabilities(self) -> frozenset[Need]:
        """As probed. ``CONFIG`` is included because its configuration may happen to be what a
        scenario needs; ``launch`` raises ``NotOffered`` otherwise."""
        return self.offers.needs | {Need.CONFIG}

    @cached_property
    def offers(self) -> Offers:
        """What the registry allows; probed once. Raises ``TargetError``."""
        gateway = self.open_gateway()
        client = self.client(self.names())
        try:
            return probe(client, gateway)
        finally:
            client.close()
            if gateway is not None:
                gateway.close()

    @property
    def where(self) -> str:
        """Its name in errors."""
        return f"url:{self.origin}" + (f"/{self.place}" if self.place else "")

    def check(self) -> None:
        """The probe has checked it."""

    def names(self) -> Namespace:
        """Repository names that were never used before."""
        return Namespace(f"pullproof-{_RUN}-{next(_NUMBERS)}", self.place)

    def client(self, names: Namespace) -> RemoteClient:
        """A client of it. ``TargetError`` for certificates that cannot be read."""
        return RemoteClient(self.login, names)

    @cached_property
    def login(self) -> RemoteLogin:
        """How all clients log in, as learned by the probe."""
        return RemoteLogin(self.where, self.origin, self.access)

    def open_gateway(self) -> Gateway | None:
        """The gateway at the address of its upstream, or None without ``--upstream-at``.
        ``TargetError`` if the address is in use."""
        if self.access.upstream_at is None:
            return None
        gateway = Gateway(*self.access.upstream_at)
        try:
            gateway.open()
        except OSError as problem:
            raise TargetError(
                f"--upstream-at: cannot listen on {gateway.address}: {problem.strerror}; "
                "the mock upstreams of scenarios answer there, so it must be free"
            ) from problem
        return gateway

    def registry(self, settings: Settings, workdir: Path) -> UrlRegistry:
        return UrlRegistry(self, settings, workdir)

    def take(self, registry: UrlRegistry) -> None:
        """Reserve it for *registry*. ``NotOffered`` if the test uses it already."""
        if self._in_use:
            raise NotOffered(f"{self.where} is one registry, and the scenario needs a second one")
        self._in_use.append(registry)

    def give_back(self, registry: UrlRegistry) -> None:
        """End the reservation of :meth:`take`."""
        if registry in self._in_use:
            self._in_use.remove(registry)


class UrlServer(TargetServer):
    """Stands for the registry, which the harness neither starts nor stops."""

    def __init__(self, target: UrlTarget, names: Namespace) -> None:
        self._target = target
        self._names = names

    def start(self, files: Files) -> Addresses:
        return Addresses(self._target.origin)

    def stop(self) -> None:
        """It keeps running."""

    def kill(self) -> None:
        raise NotOffered(f"{self._target.where} has no process that could be killed")

    def output(self) -> str:
        return f"repositories are named {self._names.front}... there\n"


class UrlRegistry(ForeignRegistry):
    """The registry during one test, below repository names of the test's own."""

    def __init__(self, target: UrlTarget, settings: Settings, workdir: Path) -> None:
        self._target = target
        self.where = target.where
        self.remote = target.client(target.names())
        super().__init__(settings, workdir, UrlServer(target, self.remote.names), self.remote)
        self.remote.refuse = self._why_not
        self._gateway: Gateway | None = None
        self._awaits_upstream = settings.upstream_url is not None
        self._stored_at = 0

    def start(self) -> None:
        offers, access = self._target.offers, self._target.access
        self.refuse_settings({"upstream_url"} | ({"delete_enabled"} if offers.deletes else set()))
        if self._awaits_upstream:
            if not offers.upstream:
                raise NotOffered(
                    f"{self.where} has its operator's upstream; a scenario with an upstream of its "
                    "own needs --upstream-at HOST:PORT"
                )
            self.request = self._wrong_upstream
        elif not access.allow_writes:
            raise NotOffered(f"pushing to {self.where} needs --allow-writes")
        elif offers.why_no_pushes:
            raise NotOffered(f"{self.where} takes no pushes: {offers.why_no_pushes}")
        self._target.take(self)
        self.reaches_loopback = offers.reaches_loopback

    def attach(self, upstream: MockUpstream) -> None:
        """Make *upstream* its upstream. Raises ``NotOffered`` if that is impossible."""
        gateway = self._gateway = self._target.open_gateway()
        assert gateway is not None
        with self.remote.asking_as(self._target.names()):
            answer = await_upstream(self.remote, gateway)
        self.exchanges.clear()
        if answer.status != 200:
            raise NotOffered(f"{self.where} does not ask its upstream again after a failure")
        try:
            upstream.attach(gateway, self.remote.names)
        except ValueError as problem:
            raise NotOffered(f"{self.where} outlives the scenario: {problem}") from problem
        self.request = self.client.request

    def _why_not(self, method: str, path: str) -> str | None:
        if path.startswith("/v2/_catalog"):
            return "also lists repositories of other users"
        deletes = method == "DELETE" and "/uploads/" not in path
        if deletes and self._target.offers.deletes and not self.settings.delete_enabled:
            return "has deletion enabled, and the scenario needs it disabled"
        return None

    def _wrong_upstream(self, *arguments: Any, **options: Any) -> NoReturn:
        raise NotOffered(f"{self.where} has another upstream than the scenario needs")

    def stop(self) -> None:
        """Release it for the next test; it keeps running."""
        self._target.give_back(self)
        super().stop()
        if self._gateway is not None:
            self._gateway.close()

    def restart(self, **changes: Any) -> None:
        self._lacks("an operator of its own, and only they can restart it")

    def await_stored(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """The value of *predicate*, after a pause if there were requests since the last call."""
        if len(self.exchanges) != self._stored_at:
            self.let_pass(timedelta(seconds=scaled(_STORES)))
            self._stored_at = len(self.exchanges)
        return predicate()


def _parsed(url: str) -> tuple[str, str]:
    """Origin and place of *url*. Raises ``TargetError``, without a password that *url* may have."""
    fix = "write url:https://registry.example:5000, or add a path that comes before all names"
    if re.match(r"[\w.\[\]-]+(:\d|/|$)", url):
        raise TargetError(f"url:{url}: has no scheme; did you mean url:http://{url}?")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise TargetError(f"url: {problem}; {fix}") from problem
    if parts.username is not None or parts.password is not None:
        raise TargetError(f"url:{parts.scheme}://...@{host}: no login in a URL; use --login")
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise TargetError(f"url:{url}: not the URL of a registry; {fix}")
    place = parts.path.strip("/").removeprefix("v2").strip("/")
    if place and not is_repository_name(place):
        raise TargetError(f"url:{url}: {place!r} cannot come before a repository name; {fix}")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else ""), place
