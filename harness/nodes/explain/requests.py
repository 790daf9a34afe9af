"""The modelled requests of one pull in words: what each is for, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlencode

from harness.content import Manifest
from harness.nodes.explain.explanation import Place, RequestExplained
from harness.nodes.models.attempts import Attempt
from harness.nodes.models.network import Failure
from harness.nodes.models.registry_api import status_line
from harness.nodes.models.simulated_network import RegistryContent

__all__ = ["explained_requests", "failure_words"]

_FAILURES = {
    Failure.UNRESOLVED: "no such host",
    Failure.REFUSED: "connection refused",
    Failure.UNREACHABLE: "no answer to the connection attempt",
    Failure.HANDSHAKE_TIMEOUT: "no answer to the TLS handshake",
    Failure.UNTRUSTED: "certificate signed by an unknown authority",
    Failure.CLIENT_CERTIFICATE_REQUIRED: "a client certificate is required",
    Failure.NOT_TLS: "it speaks no TLS",
    Failure.NOT_HTTP: "it speaks no plain HTTP",
    Failure.RESET: "connection reset",
    Failure.SILENT: "nothing is ever said",
    Failure.NO_ANSWER: "no answer to the request",
    Failure.UNSUPPORTED_SCHEME: "unsupported scheme",
    Failure.TOO_MANY_REDIRECTS: "too many redirects",
}


def failure_words(failure: Failure) -> str:
    """*failure* as a reader knows it."""
    return _FAILURES[failure]


def explained_requests(
    attempts: Iterable[Attempt],
    image: Manifest,
    place_of: Callable[[Attempt], Place | None],
    origin_of: Callable[[Attempt], str],
) -> tuple[RequestExplained, ...]:
    """*attempts* of a pull of *image*.

    *place_of* finds the line that names the host, *origin_of* where a credential comes from.
    Digests of the made-up image are shown as ``DIGEST``.
    """
    content = RegistryContent(image)
    return tuple(
        RequestExplained(
            number=number,
            step=_step(attempt, content),
            method=attempt.method,
            url=_url(attempt, content),
            host=attempt.host,
            namespace=attempt.ns,
            credential=_credential(attempt, origin_of),
            because=_without_digests(attempt.because, content),
            result=_result(attempt),
            answered=attempt.failure is None,
            seconds=None if attempt.seconds == float("inf") else attempt.seconds,
            place=place_of(attempt),
            at_once=attempt.lane != "",
        )
        for number, attempt in enumerate(attempts, 1)
    )


def _step(attempt: Attempt, content: RegistryContent) -> str:
    if attempt.step == "fetch":
        kind = content.kind(attempt.path.rpartition("/")[2])
        # Of a tag that is fetched at once, as docker and skopeo do.
        return content.kind(content.tagged) if kind == "other" else kind
    return attempt.step


def _url(attempt: Attempt, content: RegistryContent) -> str:
    ns = [] if attempt.ns is None else [("ns", attempt.ns)]
    query = urlencode([*ns, *attempt.query], safe=":,")
    path = _without_digests(attempt.path, content)
    return f"{attempt.scheme}://{attempt.host}{path}{f'?{query}' if query else ''}"


def _without_digests(text: str, content: RegistryContent) -> str:
    head, _, last = text.rpartition("/")
    return f"{head}/DIGEST" if content.find(last) and last.startswith("sha256:") else text


def _credential(attempt: Attempt, origin_of: Callable[[Attempt], str]) -> str:
    credential = attempt.credential
    sent = str(credential)
    if attempt.form:
        form = dict(attempt.form)
        user = form.get("username")
        sent = f"password grant as {user}" if user else "identity token"
    elif credential.kind == "none":
        return "none"
    elif credential.kind == "other":
        return "an Authorization header of hosts.toml or config.toml"
    elif credential.kind == "basic":
        sent = f"Basic as {credential.user or 'nobody'}"
    elif credential.kind == "bearer":
        return "Bearer, the token that was fetched"
    origin = origin_of(attempt)
    return f"{sent}, from {origin}" if origin else sent


def _result(attempt: Attempt) -> str:
    if attempt.failure is not None:
        return failure_words(attempt.failure)
    if attempt.cut:
        return "cut short"
    return status_line(attempt.status or 0)
