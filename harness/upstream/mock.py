"""The mock upstream: a registry double over real sockets, with a synchronous interface.

Its methods are called on the test's thread; the sockets live on the lab's event loop
(:mod:`harness.system.loop`). They share the store, the script of faults and the ledger, which are
thread-safe.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from typing import Self, TypeVar

from harness.content import Blob, Manifest
from harness.http.namespace import Namespace
from harness.system.loop import LabLoop, lab_loop
from harness.upstream.auth import Anonymous, Auth, Bearer, TokenServer
from harness.upstream.calls import TOKEN_PATH, Kind, Match, RegistryCall, What, route
from harness.upstream.connection import Connection, Listener
from harness.upstream.faults import Fault, FaultScript
from harness.upstream.ledger import Ledger, LedgerEntry, nearest
from harness.upstream.registry import Store
from harness.upstream.replies import Body, Reply
from harness.upstream.service import Choice, RateLimit, RateLimiter, Service
from reference_registry.clock import Clock, SystemClock

C = TypeVar("C", bound=Blob | Manifest)


class MockUpstream:
    """A registry whose content, behaviour and faults a test scripts. It records every request.

    ``with MockUpstream() as upstream:`` or :meth:`start` and :meth:`stop`. Instances are
    independent: a second one is another host, for redirects and hostile realms.

    *page_size* limits a page of tags or catalog; *referrers* says whether that API exists; *clock*
    is for tokens and rate limits; *ssl_context* makes it speak TLS.
    """

    def __init__(
        self,
        auth: Auth | None = None,
        *,
        page_size: int | None = None,
        referrers: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock | None = None,
        loop: LabLoop | None = None,
    ) -> None:
        self._host = host
        self._scheme = "http" if ssl_context is None else "https"
        self._loop = loop or lab_loop()
        self._clock = clock or SystemClock()
        self._strict = False
        self._service = Service(Store(page_size, has_referrers=referrers), auth or Anonymous())
        self._listener = Listener(self._service.serve, host, port, ssl_context)
        self._listeners = [self._listener]
        self._token_listener = self._listener
        self._is_down = False
        self._gateway: Gateway | None = None
        if isinstance(auth, Bearer):
            self._service.tokens = TokenServer(auth, self._clock)
            if auth.own_port:
                self._service.token_port_is_own = True
                serve = partial(self._service.serve, tokens_only=True)
                self._token_listener = Listener(serve, host, 0, ssl_context)
                self._listeners.append(self._token_listener)

    # -- life -----------------------------------------------------------------------------------
    def start(self) -> None:
        """Listen. ``OSError`` if the address is in use."""
        for listener in self._listeners:
            self._loop.run(listener.start())
        self._service.realm = self.token_url

    def stop(self) -> None:
        """Cut all connections and release the port. Does nothing if it is not started."""
        for listener in self._listeners:
            self._loop.run(listener.stop())

    def down(self) -> None:
        """Refuse connections, and cut the open ones, until :meth:`up`."""
        self._is_down = True
        for listener in self._listeners:
            self._loop.run(listener.down())

    def up(self) -> None:
        """Listen again on the same port."""
        self._is_down = False
        for listener in self._listeners:
            self._loop.run(listener.up())

    def attach(self, gateway: Gateway, names: Namespace) -> None:
        """Also answer at *gateway*, which is open, for the repositories of *names*. The gateway
        goes down and is closed with this upstream. ``ValueError`` for one with
        authentication: what a registry remembers of that would outlive this upstream."""
        if self._service.auth != Anonymous():
            raise ValueError("an upstream with authentication cannot be attached to a gateway")
        gateway.attach(self._service, names)
        self._gateway = gateway
        self._listeners.append(gateway.listener)
        if self._is_down:
            self.down()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.stop()
        if error is None and self.is_strict:
            self.assert_no_unexpected()

    # -- addresses ------------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a slash at the end."""
        return f"{self._scheme}://{self.address}"

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``, as written before a repository's name in an image reference; at
        a gateway, the name by which the registry reaches that."""
        return self._address(self._listener) if self._gateway is None else self._gateway.known_as

    @property
    def token_url(self) -> str:
        """Where the token server answers: the realm of its challenges."""
        return f"{self._scheme}://{self._address(self._token_listener)}{TOKEN_PATH}"

    def _address(self, listener: Listener) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{listener.port}"

    @property
    def token_server(self) -> TokenServer:
        """The token server of a ``Bearer`` upstream; ``LookupError`` for others."""
        if self._service.tokens is None:
            raise LookupError("only an upstream with Bearer authentication has a token server")
        return self._service.tokens

    # -- content --------------------------------------------------------------------------------
    def add(self, repository: str, content: C, tags: Collection[str] = ()) -> C:
        """Put *content* and everything it names into *repository*; point *tags* at it; return it.

        An existing tag is moved. Hand-made manifests are ``Manifest(Blob(...))``.
        """
        self._service.store.add(repository, content, tags)
        return content

    def untag(self, repository: str, tag: str) -> None:
        """Remove a tag. ``KeyError`` if there is none."""
        self._service.store.untag(repository, tag)

    def remove(self, repository: str, digest: str) -> None:
        """Remove a manifest with its tags, or a blob. ``KeyError`` if there is neither."""
        self._service.store.remove(repository, digest)

    # -- faults ---------------------------------------------------------------------------------
    def on(
        self,
        method: str | None = None,
        what: What = None,
        *,
        times: int | None = None,
        kind: Kind | None = None,
        repository: str | None = None,
        state: str | None = None,
        where: Callable[[RegistryCall], bool] | None = None,
    ) -> FaultScript:
        """Script a fault for matching requests: ``upstream.on("GET", blob).reset(after=1000)``.

        *what* is a path, a glob, a digest or content (see ``Match``); at most *times* requests
        meet the fault; *state* restricts it to a :attr:`state` of the upstream. The first matching
        fault that is not used up applies, even to requests that would get a 401.
        """
        match = Match.of(method, what, kind=kind, repository=repository)
        return self.add_fault(Fault(match, times=times, state=state, where=where))

    def add_fault(self, fault: Fault) -> FaultScript:
        """Add a fault that exists as data."""
        return self._service.faults.add(fault)

    def limit(self, rule: RateLimit) -> RateLimiter:
        """Limit the rate of requests from now on, as Docker Hub does. Returns the quota."""
        self._service.limiter = RateLimiter(rule, self._clock)
        return self._service.limiter

    def clear_faults(self) -> None:
        """Remove all faults and limits, and release hanging answers."""
        self._service.limiter = None
        self._service.faults.clear()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults, in order."""
        return tuple(script.fault for script in self._service.faults.scripts)

    @property
    def state(self) -> str:
        """Compared with ``state=`` of faults; ``"start"`` until something sets it."""
        return self._service.faults.state

    @state.setter
    def state(self, state: str) -> None:
        self._service.faults.state = state

    # -- what was seen --------------------------------------------------------------------------
    @property
    def ledger(self) -> Ledger:
        """Every request so far."""
        return self._service.ledger

    def strict(self, expected: Iterable[str | Match] | None = None) -> None:
        """From now on only *expected* requests are expected: ``"GET /v2/team/*"``, a path, a glob,
        a digest, a ``Match``. None restores the default: requests that the content can answer are
        expected. Requests that meet a fault always are.

        Answers do not change; :meth:`assert_no_unexpected` raises, also at the end of a ``with``.
        """
        self._strict = True
        self._service.expectations = None
        if expected is not None:
            rules = (Match.parse(one) if isinstance(one, str) else one for one in expected)
            self._service.expectations = tuple(rules)

    @property
    def is_strict(self) -> bool:
        """Whether :meth:`strict` was called."""
        return self._strict

    @property
    def unexpected(self) -> tuple[LedgerEntry, ...]:
        """The requests that were not expected."""
        return tuple(entry for entry in self.ledger.entries if entry.unexpected)

    def assert_no_unexpected(self) -> None:
        """``AssertionError`` if a request was not expected, with the nearest expectation."""
        __tracebackhide__ = True
        if found := [entry.line for entry in self.unexpected]:
            known = self._service.expected_lines()
            details = [f"unexpected: {line}\n  {nearest(line, known)}" for line in found]
            raise AssertionError(
                "\n".join([f"the upstream {self.url} got unexpected requests:", *details])
            )

    @property
    def uncalled(self) -> tuple[str, ...]:
        """The faults of :meth:`on` and expectations of :meth:`strict` that no request has met, in
        words."""
        faults = [script.fault for script in self._service.faults.scripts if not script.hits]
        asked = self.ledger.entries
        never = [one for one in self._service.expectations or () if not any(map(one, asked))]
        return (*(f"{fault.match} ({fault})" for fault in faults), *map(str, never))

    def assert_all_called(self) -> None:
        """``AssertionError`` if a fault or an expectation was never met."""
        __tracebackhide__ = True
        if uncalled := self.uncalled:
            details = [f"never asked: {line}" for line in uncalled]
            asked = ["all requests:", *(f"  {x}" for x in self.ledger.describe().splitlines())]
            raise AssertionError(
                "\n".join([f"the upstream {self.url} did not get:", *details, *asked])
            )


class Gateway:
    """One address at which mock upstreams answer one after another, for a registry that runs
    already.

    Such a registry outlives each test, and may still ask for names of an earlier test or of another
    user. Only names of the attached test reach its upstream; the gateway answers all others itself,
    with the content of :meth:`add`.
    """

    def __init__(self, host: str, port: int) -> None:
        self._own = Service()
        self._attached: tuple[Service, Namespace] | None = None
        self.listener = Listener(self._serve, host, port)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def open(self) -> None:
        """Listen. ``OSError`` if the address is in use."""
        lab_loop().run(self.listener.start())

    def close(self) -> None:
        """Stop listening. Does nothing if it is not open."""
        lab_loop().run(self.listener.stop())

    def add(self, repository: str, content: Manifest, tag: str) -> None:
        """Put *content* into the gateway itself."""
        self._own.store.add(repository, content, (tag,))

    def attach(self, service: Service, names: Namespace) -> None:
        """Let *service* answer for the repositories of *names*, and for paths without a
        repository."""
        self._attached = (service, names)

    @property
    def asked(self) -> tuple[LedgerEntry, ...]:
        """The requests that the gateway has answered itself."""
        return self._own.ledger.entries

    @property
    def known_as(self) -> str:
        """Host and port as the last client calls it, or else :attr:`address`."""
        last = next(reversed(self.asked), None)
        return (last and last.header("host")) or self.address

    async def _serve(self, connection: Connection) -> None:
        await self._own.serve(connection, self._choose)

    def _choose(self, call: RegistryCall) -> Choice:
        if self._attached is None:
            return self._own, call, _as_it_is
        service, names = self._attached
        if call.repository is None:
            return service, call, _as_it_is
        path = names.behind(call.path)
        if path is None:
            return self._own, call, _as_it_is
        target = f"{path}?{call.query}" if call.query else path
        call_there = route(call.method, target, call.headers, call.body)
        return service, call_there, self._named(call, names)

    def _named(self, call: RegistryCall, names: Namespace) -> Callable[[Reply], Reply]:
        """Answers to *call* have repository names as the client asked for them."""
        here = f"//{self.known_as}/v2/"

        def named(reply: Reply) -> Reply:
            if link := reply.header("link"):
                reply = reply.with_headers({"Link": link.replace("/v2/", f"/v2/{names.own}/", 1)})
            if location := reply.header("location"):
                there = location.replace(here, f"{here}{names.own}/", 1)
                reply = reply.with_headers({"Location": there})
            if call.kind == "tags" and reply.status == 200:
                listed = json.loads(b"".join(reply.body.chunks(0, reply.body.size)))
                whole = json.dumps(listed | {"name": call.repository}, separators=(",", ":"))
                body = Body(Blob(whole.encode()))
                reply = replace(reply, body=body).with_headers({"Content-Length": str(body.size)})
            return reply

        return named


def _as_it_is(reply: Reply) -> Reply:
    return reply
