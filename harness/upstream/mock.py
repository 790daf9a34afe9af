"""The mock upstream: a registry double over real sockets, with a plain synchronous face.

The face belongs to the test's thread; the sockets live on the lab's event loop
(:mod:`harness.loop`). Between the two stand the store, the script of faults and the ledger, each
safe from both sides.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from harness.content import Blob, Manifest
from harness.loop import LabLoop, lab_loop
from harness.upstream.auth import Anonymous, Auth, Bearer, Site
from harness.upstream.calls import TOKEN_PATH, Call, Kind
from harness.upstream.connection import BadRequest, Connection
from harness.upstream.credentials import Credential, parse_credential
from harness.upstream.faults import Delivery, Fault, FaultList
from harness.upstream.ledger import Ledger
from harness.upstream.listener import Listener
from harness.upstream.matching import Match, What
from harness.upstream.registry import RegistryOptions, answer
from harness.upstream.replies import Reply, error_reply
from harness.upstream.scripting import FaultScript
from harness.upstream.store import Store
from harness.upstream.tokens import TokenServer
from harness.upstream.wire import send
from reference_registry.clock import Clock, SystemClock

__all__ = ["MockUpstream"]

C = TypeVar("C", bound=Blob | Manifest)
_VERSION_HEADER = {"Docker-Distribution-Api-Version": "registry/2.0"}


class MockUpstream:
    """A registry whose content, behaviour and faults a test decides, and which forgets nothing.

    ``with MockUpstream() as upstream:`` or :meth:`start` and :meth:`stop`. Every instance is
    independent of every other: a second one is another host, for redirects and hostile realms.
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
        self.auth = auth or Anonymous()
        self.ledger = Ledger()
        self._store = Store()
        self._faults = FaultList()
        self._options = RegistryOptions(page_size, referrers)
        self._host = host
        self._scheme = "http" if ssl_context is None else "https"
        self._loop = loop or lab_loop()
        self._listener = Listener(self._serve, host, port, ssl_context)
        self._tokens: TokenServer | None = None
        self._token_listener: Listener | None = None
        if isinstance(self.auth, Bearer):
            self._tokens = TokenServer(self.auth.policy(), clock or SystemClock())
            if self.auth.own_port:
                self._token_listener = Listener(self._serve, host, 0, ssl_context)

    # -- life -----------------------------------------------------------------------------------
    def start(self) -> None:
        """Listen. ``OSError`` where the address cannot be had."""
        for listener in self._listeners:
            self._loop.run(listener.start())

    def stop(self) -> None:
        """Cut all connections and give the port back. Harmless when not started."""
        for listener in self._listeners:
            self._loop.run(listener.stop())

    def down(self) -> None:
        """Refuse connections, and cut the open ones, until :meth:`up`."""
        for listener in self._listeners:
            self._loop.run(listener.down())

    def up(self) -> None:
        """Listen again on the same port."""
        for listener in self._listeners:
            self._loop.run(listener.up())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _listeners(self) -> list[Listener]:
        return [self._listener] + ([self._token_listener] if self._token_listener else [])

    # -- addresses ------------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a slash at the end."""
        return f"{self._scheme}://{self.address}"

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``, as it stands before a repository's name in an image reference."""
        return f"{self._host}:{self._listener.port}"

    @property
    def token_url(self) -> str:
        """Where the token server answers: the realm of its challenges."""
        listener = self._token_listener or self._listener
        return f"{self._scheme}://{self._host}:{listener.port}{TOKEN_PATH}"

    @property
    def token_server(self) -> TokenServer:
        """The token server of a ``Bearer`` upstream; ``LookupError`` for any other."""
        if self._tokens is None:
            raise LookupError("only an upstream with Bearer authentication has a token server")
        return self._tokens

    # -- content --------------------------------------------------------------------------------
    def add(self, repository: str, content: C, tags: tuple[str, ...] = ()) -> C:
        """Put *content* and everything it names into *repository*; point *tags* at it; return it.

        A tag that pointed elsewhere is moved.
        """
        self._store.add(repository, content, tags)
        return content

    def untag(self, repository: str, tag: str) -> None:
        """Forget a tag. ``KeyError`` where there is none."""
        self._store.untag(repository, tag)

    def remove(self, repository: str, digest: str) -> None:
        """Forget a manifest with its tags, or a blob. ``KeyError`` where there is neither."""
        self._store.remove(repository, digest)

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
        where: Callable[[Call], bool] | None = None,
    ) -> FaultScript:
        """Script a fault for matching requests: ``upstream.on("GET", blob).reset(after=1000)``.

        *what* is a path, a glob, a digest or content, as :class:`Match` explains; *times* is how
        many requests meet the fault at most; *state* restricts it to a :attr:`state` of the
        upstream. The first matching fault that is not used up is the one that applies.
        """
        match = Match.of(method, what, kind=kind, repository=repository)
        return FaultScript(self._faults, Fault(match, times=times, state=state, where=where))

    def clear_faults(self) -> None:
        """Behave from now on, and let go whoever hangs."""
        self._faults.clear()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The script as it stands."""
        return self._faults.faults

    @property
    def state(self) -> str:
        """What ``state=`` of a fault is compared with; ``"start"`` until something sets it."""
        return self._faults.state

    @state.setter
    def state(self, state: str) -> None:
        self._faults.state = state

    # -- serving --------------------------------------------------------------------------------
    async def _serve(self, connection: Connection) -> None:
        keep = True
        while keep:
            try:
                request = await connection.next_call()
            except BadRequest as error:
                await self._refuse(connection, str(error))
                return
            if request is None:
                return
            call, keep = request
            keep = await self._answer(connection, call) and keep

    async def _answer(self, connection: Connection, call: Call) -> bool:
        who = parse_credential(call.header("authorization"))
        bearer = who.scheme == "bearer"
        known = (self._tokens is not None and self._tokens.issued(who.secret)) if bearer else None
        record = self.ledger.open(call, who.label, known)
        reply, delivery = self._reply(call, who), Delivery()
        if (fault := self._faults.take(call)) is not None:
            record.note(fault=str(fault))
            for action in fault.actions:
                reply, delivery = action.alter(reply, call), action.deliver(delivery)
        return await send(connection, call, reply, delivery, record)

    def _reply(self, call: Call, who: Credential) -> Reply:
        if call.kind == "token" and self._tokens is not None:
            return self._tokens.answer(call)
        challenge = self.auth.challenge(call, who, Site(self.token_url, self._tokens))
        if challenge is not None:
            reply = error_reply(401, "UNAUTHORIZED", "authentication required")
            return reply.with_headers({**_VERSION_HEADER, "WWW-Authenticate": challenge})
        return answer(call, self._store, self._options).with_headers(_VERSION_HEADER)

    async def _refuse(self, connection: Connection, reason: str) -> None:
        call = Call("?", f"({reason})")
        reply = error_reply(400, "UNSUPPORTED", "this is not HTTP/1.1")
        await send(connection, call, reply, Delivery(), self.ledger.open(call, "none", None))
