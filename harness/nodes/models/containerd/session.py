"""One step of a containerd pull: HTTP as containerd's client uses it, with its retries.

Retries: after 401 credentials are added, after 405 HEAD becomes GET, after 408 and 429 the request
is repeated immediately (Retry-After is ignored). On the last host some failures are retried once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.nodes.models.containerd.authorizer import Authorizer
from harness.nodes.models.containerd.plan import (
    Hangs,
    HttpClient,
    ModelExchange,
    Plan,
    PlannedHost,
    RequestFailed,
    request_url,
    transport_failure,
    unexpected_status,
)
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.go_url import InvalidURL, join_path, port_of
from harness.nodes.models.network import (
    MOST_REQUESTS,
    Attempt,
    ClientRequest,
    ClientResponse,
    Failure,
    Network,
    PullStep,
    redirected,
)

_HANDSHAKE_TIMEOUT = 10.0
"""In seconds."""
_REPEATED_ON_LAST_HOST = {500, 503, 504}

Headers = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class RequestTarget:
    """An object of the plan's repository at one host, such as ``("manifests", "v1")``."""

    host: PlannedHost
    resource: tuple[str, str]
    last_host: bool = True
    """Whether no other host is left to try."""


class Session:
    """Sends the requests of one step and writes each into *record*.

    What a client learns (challenges, tokens, hosts without TLS) is kept until the step is over.
    """

    def __init__(
        self,
        plan: Plan,
        network: Network,
        record: list[Attempt],
        step: Literal["resolve", "fetch", "push"],
    ) -> None:
        self.plan = plan
        self.release = plan.release
        if isinstance(plan.puller, Ctr):
            # Only the CRI plugin redacts its errors (internal/cri/util/sanitize.go).
            self.release = replace(plan.release, redacts_queries=False)
        self._network = network
        self._record = record
        self._step = step
        actions = "pull,push" if step == "push" else "pull"
        self._scope = f"repository:{plan.reference.repository}:{actions}"
        self._lane = ""
        self._plain_http: set[tuple[int, str]] = set()
        self._authorizers: dict[int, Authorizer] = {}

    def concurrently(self, lanes: Sequence[tuple[str, Callable[[], object]]]) -> None:
        """Run all of *lanes*, each with its name, even if some fail.

        Raises one of their :class:`RequestFailed`, with the others in it.
        """
        failures = []
        for name, work in lanes:
            self._lane = name if len(lanes) > 1 else ""
            try:
                work()
            except RequestFailed as failed:
                failures.append(failed)
        self._lane = ""
        if failures:
            raise replace(failures[0], others=tuple(failures[1:]))

    # -- requests to registries -----------------------------------------------------------------
    def send(
        self, target: RequestTarget, method: str, because: str, headers: Headers | None = None
    ) -> ModelExchange:
        """The final answer to *method* on *target*. Raises :class:`RequestFailed` if there is
        none."""
        return self.repeat(self.request(target, method, headers), target, because)

    def request(
        self, target: RequestTarget, method: str, headers: Headers | None = None
    ) -> ClientRequest:
        """The request for *target*, without credentials."""
        host = target.host
        names_namespace = self._step != "push" or self.release.push_names_namespace
        ns = host.namespace_for(self.plan.reference.namespace) if names_namespace else None
        merged = dict(self.plan.headers)
        for name, values in host.headers.items():
            merged[name] = (*merged.get(name, ()), *values)
        path = join_path("/", host.path, self.plan.reference.repository, *target.resource)
        if target.resource[-1].endswith("/"):
            path += "/"
        query = () if ns is None else (("ns", ns),)
        merged |= headers or {}
        return ClientRequest(method, host.scheme, host.name, path, query, merged)

    def repeat(self, request: ClientRequest, target: RequestTarget, because: str) -> ModelExchange:
        """Send *request* until its answer is final. Raises :class:`RequestFailed`."""
        client, history = target.host.client, list[ModelExchange]()
        for number in range(1, self.release.attempts + 1):
            is_last = number == self.release.attempts
            try:
                exchange = self._authorized(request, client, because)
            except RequestFailed as failed:
                may_repeat = self.release.repeats_transport_errors and target.last_host
                is_transient = failed.failure is not None and failed.failure.is_timeout
                if is_last or not (may_repeat and is_transient):
                    raise
                because = f"retry on the last host after a transport error ({number + 1})"
                continue
            history.append(exchange)
            following = None if is_last else self._next(request, target, history)
            if following is None:
                break
            request, because = following
        return history[-1]

    def _authorized(
        self, request: ClientRequest, client: HttpClient, because: str
    ) -> ModelExchange:
        try:
            request = self._authorizer(client).authorize(request, self._scope)
        except RequestFailed as failed:
            raise failed.within("failed to authorize: ") from None
        return self._follow(request, client, self._step, because)

    def _next(
        self, request: ClientRequest, target: RequestTarget, history: list[ModelExchange]
    ) -> tuple[ClientRequest, str] | None:
        """The next request and its reason; None if the last answer is final."""
        last = history[-1]
        status = last.response.status
        match status:
            case 401:
                authorizer = self._authorizer(target.host.client)
                if not authorizer.learn(history):
                    return None
                challenger = last.request.host
                credentials = authorizer.describe(challenger)
                return request, f"retry after 401 from {challenger} with {credentials}"
            case 405 if request.method == "HEAD" and "/manifests/" in request.path:
                because = f"{target.host.name} does not allow HEAD (405)"
                return replace(request, method="GET"), because
            case 408 | 429:
                count = f"{len(history) + 1} of {self.release.attempts}"
                return request, f"immediate retry after {status} ({count})"
        if self.release.repeats_server_errors and status in _REPEATED_ON_LAST_HOST:
            is_news = len(history) < 2 or history[-2].response.status != status
            if target.last_host and is_news:
                return request, f"retry on the last host after {status}"
        return None

    def explained(
        self, target: RequestTarget, exchange: ModelExchange, headers: Headers | None = None
    ) -> str | None:
        """The text for a HEAD with answer 403, with the message from a GET since HEAD has no body.

        None if the release does not ask, and for any other answer.
        """
        is_forbidden = exchange.response.status == 403 and exchange.request.method == "HEAD"
        if not (is_forbidden and self.release.explains_forbidden):
            return None
        target, because = replace(target, last_host=False), "to get the reason of the 403"
        try:
            reply = self.send(target, "GET", because, headers).response
        except RequestFailed:
            return None
        is_same = reply.status == 403
        return unexpected_status(exchange.request, reply, self.release) if is_same else None

    def _authorizer(self, client: HttpClient) -> Authorizer:
        if client.number not in self._authorizers:

            def ask(request: ClientRequest, because: str) -> ModelExchange:
                return self._follow(request, client, "token", because)

            self._authorizers[client.number] = Authorizer(client, self.release, ask)
        return self._authorizers[client.number]

    # -- HTTP -----------------------------------------------------------------------------------
    def _follow(
        self, request: ClientRequest, client: HttpClient, step: PullStep, because: str
    ) -> ModelExchange:
        """The answer to *request* after redirects.

        Raises :class:`RequestFailed`, and :class:`Hangs` if no time limit applies.
        """
        first = request
        for _ in range(MOST_REQUESTS):
            exchange = self._round_trip(request, client, step, because)
            response, location = exchange.response, exchange.response.header("Location")
            try:
                following = redirected(first, request, response)
            except InvalidURL as error:
                text = f'failed to parse Location header "{location}": {error}'
                raise RequestFailed(f"failed to do request: {text}") from None
            if following is None:
                return exchange
            because = f"{request.host} redirects here ({response.status})"
            request = following
            if step == "token":
                continue
            try:
                request = self._authorizer(client).authorize(request, self._scope)
            except RequestFailed as failed:
                doing = f'failed to do request: {request.method.title()} "{request_url(request)}"'
                raise failed.within(f"{doing}: failed to authorize redirect: ") from None
        # Go reports the last Location as received (net/http, client.go).
        circle = transport_failure(request, Failure.TOO_MANY_REDIRECTS, self.release)
        circle.text = circle.text.replace(f'"{request_url(request)}"', f'"{location}"')
        raise circle

    def _round_trip(
        self, request: ClientRequest, client: HttpClient, step: PullStep, because: str
    ) -> ModelExchange:
        """One answer; a client that falls back may get it over plain HTTP."""
        known = (client.number, request.host)
        if known not in self._plain_http:
            try:
                return ModelExchange(request, self._send(request, client, step, because))
            except RequestFailed as failed:
                may_fall_back = client.falls_back and request.scheme == "https"
                if not (may_fall_back and self._allows_plain_http(request.host, failed.failure)):
                    raise
            because = f"{because}; plain HTTP because https failed"
            if self.release.remembers_fallback:
                self._plain_http.add(known)
        plain = replace(request, scheme="http")
        try:
            return ModelExchange(plain, self._send(plain, client, step, because))
        except RequestFailed as failed:
            # Go reports the original URL, not the one of the fallback.
            failed.text = failed.text.replace('"http://', f'"{request.scheme}://', 1)
            raise

    def _allows_plain_http(self, host: str, failure: Failure | None) -> bool:
        match failure:
            case Failure.NOT_TLS:
                return True
            case Failure.HANDSHAKE_TIMEOUT if self.release.remembers_fallback:
                return True
            case Failure.REFUSED | Failure.UNREACHABLE | Failure.HANDSHAKE_TIMEOUT:
                return self.release.falls_back_when_refused and port_of(host) == ""
        return False

    def _send(
        self, request: ClientRequest, client: HttpClient, step: PullStep, because: str
    ) -> ClientResponse:
        result = self._network.exchange(request, client.trust)
        seconds = self._seconds(result, client)
        self._record.append(Attempt.at(step, request, result, because, self._lane, seconds))
        if isinstance(result, ClientResponse):
            return result
        if seconds == float("inf"):
            raise Hangs(request.host)
        raise transport_failure(request, result, self.release)

    def _seconds(self, result: ClientResponse | Failure, client: HttpClient) -> float:
        """How long the client waits in vain."""
        match result:
            case Failure.UNREACHABLE:
                return client.dial_timeout
            case Failure.HANDSHAKE_TIMEOUT:
                return _HANDSHAKE_TIMEOUT
            case Failure.SILENT | Failure.NO_ANSWER:
                return self.release.response_header_timeout or float("inf")
        return 0.0
