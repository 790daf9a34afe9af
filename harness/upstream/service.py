"""What a mock upstream does with a request: ledger, authentication, answer, rate limit, faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from harness.upstream.auth import Anonymous, Auth, Credential, TokenServer, credential_of
from harness.upstream.calls import Match, RegistryCall
from harness.upstream.connection import BadRequest, Connection, TlsAttempted
from harness.upstream.faults import FaultList
from harness.upstream.ledger import Ledger, Record
from harness.upstream.registry import NOT_FOUND, Store, answer
from harness.upstream.replies import Reply, error_reply, send
from reference_registry.clock import Clock

_MESSAGE = "You have reached your pull rate limit."


@dataclass(frozen=True)
class RateLimit:
    """At most ``limit`` counted requests in one ``window``; 429 beyond."""

    limit: int
    counts: str = "GET manifest"
    """The method and the kind that count. Other methods of that kind are free, and get the headers
    too."""
    window: timedelta = timedelta(hours=6)
    retry_after: int | None = None
    """Seconds to name in ``Retry-After`` of a 429; Docker Hub names none."""


class RateLimiter:
    """A :class:`RateLimit` and how much of it is used."""

    def __init__(self, rule: RateLimit, clock: Clock) -> None:
        self.rule = rule
        self.used = 0
        """How many requests counted in this window."""
        self._method, self._kind = rule.counts.split()
        self._clock = clock
        self._since: datetime | None = None

    @property
    def remaining(self) -> int:
        """How many more will be answered in this window."""
        return max(0, self.rule.limit - self.used)

    def apply(self, call: RegistryCall, reply: Reply) -> Reply:
        """*reply* with the rate-limit headers, or a 429."""
        if call.kind != self._kind:
            return reply
        refused = call.method == self._method and not self._count()
        window = f"w={int(self.rule.window.total_seconds())}"
        state: dict[str, str | None] = {
            "RateLimit-Limit": f"{self.rule.limit};{window}",
            "RateLimit-Remaining": f"{self.remaining};{window}",
        }
        if not refused:
            return reply.with_headers(state)
        if self.rule.retry_after is not None:
            state["Retry-After"] = str(self.rule.retry_after)
        return error_reply(429, "TOOMANYREQUESTS", _MESSAGE).with_headers(state)

    def _count(self) -> bool:
        """Use one request of the quota. False if none is left."""
        now = self._clock.now()
        if self._since is None or now >= self._since + self.rule.window:
            self._since, self.used = now, 0
        left = self.used < self.rule.limit
        self.used += left
        return left


Choice = tuple["Service", RegistryCall, Callable[[Reply], Reply]]
"""The service that answers, the call it gets, and a function that adapts its answer."""

_NOT_TLS = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
"""An answer in plain HTTP makes docker and containerd continue without TLS."""
_VERSION_HEADER = {"Docker-Distribution-Api-Version": "registry/2.0"}


@dataclass
class Service:
    """The parts of one upstream, and the order in which they handle a request."""

    store: Store = field(default_factory=Store)
    auth: Auth = Anonymous()  # noqa: RUF009 - immutable
    tokens: TokenServer | None = None
    token_port_is_own: bool = False
    realm: str = ""
    """The token server's URL, known once the listeners have their ports."""
    faults: FaultList = field(default_factory=FaultList)
    ledger: Ledger = field(default_factory=Ledger)
    limiter: RateLimiter | None = None
    expectations: tuple[Match, ...] | None = None
    """None: expected is what the store can answer, and what meets a fault."""

    async def serve(
        self,
        connection: Connection,
        choose: Callable[[RegistryCall], Choice] | None = None,
        *,
        tokens_only: bool = False,
    ) -> None:
        """Answer the requests of *connection* until it ends. *choose*, if given, selects the
        service for each; *tokens_only* at the token server's own port."""
        keep = True
        while keep:
            try:
                request = await connection.next_call()
            except TlsAttempted:
                await connection.write(_NOT_TLS)
                return
            except BadRequest as error:
                await self._refuse(connection, str(error))
                return
            if request is None:
                return
            call, keep = request
            service, call, adapt = choose(call) if choose else (self, call, lambda reply: reply)
            who = credential_of(call)
            record = service.ledger.open(call, who.label, service._knows(who))
            try:
                reply = adapt(service._decide(call, who, record, tokens_only=tokens_only))
            except Exception:
                record.note(outcome="cut")
                raise
            keep = await send(connection, call, reply, record) and keep

    def _decide(
        self, call: RegistryCall, who: Credential, record: Record, *, tokens_only: bool
    ) -> Reply:
        misplaced = self.token_port_is_own and tokens_only != (call.kind == "token")
        reply = NOT_FOUND if misplaced else self._reply(call, who)
        fault = self.faults.take(call)
        if fault is None:
            record.note(unexpected=self._surprises(call, reply))
            return reply
        record.note(fault=str(fault))
        for action in fault.actions:
            reply = action.alter(reply, call)
        return reply

    def _knows(self, who: Credential) -> bool | None:
        if who.scheme != "bearer":
            return None
        return self.tokens is not None and self.tokens.issued(who.secret)

    def _reply(self, call: RegistryCall, who: Credential) -> Reply:
        if call.kind == "token" and self.tokens is not None:
            return self.tokens.answer(call)
        challenge = self.auth.challenge(call, who, self.realm, self.tokens)
        if challenge is not None:
            reply = error_reply(401, "UNAUTHORIZED", "authentication required")
            return reply.with_headers({**_VERSION_HEADER, "WWW-Authenticate": challenge})
        reply = answer(call, self.store).with_headers(_VERSION_HEADER)
        return reply if self.limiter is None else self.limiter.apply(call, reply)

    def _surprises(self, call: RegistryCall, reply: Reply) -> bool:
        if self.expectations is not None:
            return not any(match(call) for match in self.expectations)
        return reply.status in {400, 404, 405}

    def expected_lines(self) -> list[str]:
        """The requests that are expected now, in words."""
        if self.expectations is not None:
            return [str(match) for match in self.expectations]
        return [f"GET {path}" for path in self.store.paths()]

    async def _refuse(self, connection: Connection, reason: str) -> None:
        call = RegistryCall("?", f"({reason})")
        record = self.ledger.open(call, "none", None)
        record.note(unexpected=True)
        reply = error_reply(400, "UNSUPPORTED", "this is not HTTP/1.1")
        await send(connection, call, reply, record)
