"""One request to one host, with containerd's retries.

After 401 credentials are added, after 405 HEAD becomes GET, after 408 and 429 the request is
repeated immediately (Retry-After is ignored). On the last host some failures are retried once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from harness.nodes.models.containerd.authorizer import Authorizer
from harness.nodes.models.containerd.conversation import Conversation, Exchange, RequestFailed
from harness.nodes.models.containerd.plan import HttpClient, Plan, PlannedHost
from harness.nodes.models.go_url import join_path
from harness.nodes.models.network import ClientRequest, Failure

__all__ = ["Requester"]

_REPEATED_ON_LAST_HOST = {500, 503, 504}


class Requester:
    """Sends the registry requests of one step, for one repository."""

    def __init__(
        self,
        plan: Plan,
        conversation: Conversation,
        step: Literal["resolve", "fetch", "push"],
    ) -> None:
        self._plan = plan
        self._release = plan.release
        self._conversation = conversation
        self._step = step
        actions = "pull,push" if step == "push" else "pull"
        self._scope = f"repository:{plan.reference.repository}:{actions}"
        self._authorizers: dict[int, Authorizer] = {}

    def send(
        self,
        host: PlannedHost,
        method: str,
        resource: Sequence[str],
        because: str,
        *,
        last_host: bool,
        headers: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Exchange:
        """The final answer of *host* to *method* on *resource*, such as ``("manifests", "v1")``.

        Raises :class:`RequestFailed` if there is none.
        """
        return self.repeat(
            self.request(host, method, resource, headers or {}), host, because, last_host
        )

    def request(
        self,
        host: PlannedHost,
        method: str,
        resource: Sequence[str],
        headers: Mapping[str, tuple[str, ...]],
    ) -> ClientRequest:
        """The request as it is made for *host*, without credentials."""
        names_namespace = self._step != "push" or self._release.push_names_namespace
        ns = host.namespace_for(self._plan.reference.namespace) if names_namespace else None
        merged = dict(self._plan.headers)
        for name, values in host.headers.items():
            merged[name] = (*merged.get(name, ()), *values)
        path = join_path("/", host.path, self._plan.reference.repository, *resource)
        return ClientRequest(
            method,
            host.scheme,
            host.name,
            f"{path}/" if resource[-1].endswith("/") else path,
            () if ns is None else (("ns", ns),),
            {**merged, **headers},
        )

    def repeat(
        self, request: ClientRequest, host: PlannedHost, because: str, last_host: bool
    ) -> Exchange:
        """Send *request* until its answer is final."""
        history: list[Exchange] = []
        attempts = self._release.attempts
        while True:
            exchange, spent = self._ask(request, host.client, because, attempts, last_host)
            attempts -= spent
            history.append(exchange)
            if attempts <= 0:
                return exchange
            again = self._next(request, host, history, last_host)
            if again is None:
                return exchange
            request, because = again

    def _ask(
        self,
        request: ClientRequest,
        client: HttpClient,
        because: str,
        attempts: int,
        last_host: bool,
    ) -> tuple[Exchange, int]:
        """One answer, and the number of attempts."""
        authorizer = self._authorizer(client)

        def authorize(target: ClientRequest) -> ClientRequest:
            return authorizer.authorize(target, self._scope)

        spent = 0
        while True:
            spent += 1
            try:
                authorized = self._authorized(request, authorize)
                exchange = self._conversation.follow(
                    authorized, client, self._step, because, authorize
                )
            except RequestFailed as failed:
                repeats = self._release.repeats_transport_errors and last_host
                if not (repeats and _is_transient(failed.failure)) or spent == attempts:
                    raise
                because = f"retry on the last host after a transport error ({spent + 1})"
            else:
                return exchange, spent

    def _authorized(
        self, request: ClientRequest, authorize: Callable[[ClientRequest], ClientRequest]
    ) -> ClientRequest:
        try:
            return authorize(request)
        except RequestFailed as failed:
            raise failed.within("failed to authorize: ") from None

    def _next(
        self, request: ClientRequest, host: PlannedHost, history: list[Exchange], last_host: bool
    ) -> tuple[ClientRequest, str] | None:
        """The next request and its reason; None if the last answer is final."""
        last = history[-1]
        status = last.response.status
        match status:
            case 401:
                authorizer = self._authorizer(host.client)
                if not authorizer.learn(history):
                    return None
                challenger = last.request.host
                return (
                    request,
                    f"retry after 401 from {challenger} with {authorizer.describe(challenger)}",
                )
            case 405 if request.method == "HEAD" and "/manifests/" in request.path:
                return replace(request, method="GET"), f"{host.name} does not allow HEAD (405)"
            case 408 | 429:
                count = len(history) + 1
                of = self._release.attempts
                return request, f"immediate retry after {status} ({count} of {of})"
        if self._release.repeats_server_errors and status in _REPEATED_ON_LAST_HOST:
            is_news = len(history) < 2 or history[-2].response.status != status
            if last_host and is_news:
                return request, f"retry on the last host after {status}"
        return None

    def _authorizer(self, client: HttpClient) -> Authorizer:
        if client.number not in self._authorizers:
            self._authorizers[client.number] = Authorizer(client, self._conversation, self._release)
        return self._authorizers[client.number]


def _is_transient(failure: Failure | None) -> bool:
    return failure is not None and failure.is_timeout
