"""The modelled requests of one pull in words: purpose, credential and result of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlencode

from harness.content import Manifest
from harness.nodes.explain.explanation import RequestExplained
from harness.nodes.models.attempts import Attempt
from harness.nodes.models.files import FileLine
from harness.nodes.models.network import Failure
from harness.nodes.models.registry_api import status_line
from harness.nodes.models.simulated_network import RegistryContent

__all__ = ["explained_requests"]

_FAILURES = {
    Failure.UNRESOLVED: "no such host",
    Failure.REFUSED: "connection refused",
    Failure.UNREACHABLE: "no answer to the connection attempt",
    Failure.HANDSHAKE_TIMEOUT: "no answer to the TLS handshake",
    Failure.UNTRUSTED: "certificate signed by an unknown authority",
    Failure.CLIENT_CERTIFICATE_REQUIRED: "a client certificate is required",
    Failure.NOT_TLS: "the host does not speak TLS",
    Failure.NOT_HTTP: "the host does not speak plain HTTP",
    Failure.RESET: "connection reset",
    Failure.SILENT: "no data on the connection",
    Failure.NO_ANSWER: "no answer to the request",
    Failure.UNSUPPORTED_SCHEME: "unsupported scheme",
    Failure.TOO_MANY_REDIRECTS: "too many redirects",
}


def explained_requests(
    attempts: Iterable[Attempt],
    image: Manifest,
    place_of: Callable[[Attempt], FileLine | None],
    origin_of: Callable[[Attempt], str],
) -> tuple[RequestExplained, ...]:
    """*attempts* of a pull of *image*.

    *place_of* gives the line that names the host, *origin_of* says where a credential comes from.
    Digests of the sample image are shown as ``DIGEST``.
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
        # docker and skopeo fetch the manifest by tag.
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
        return "the Authorization header of hosts.toml or config.toml"
    elif credential.kind == "basic":
        sent = f"Basic as {credential.user or 'an empty user'}"
    elif credential.kind == "bearer":
        return "Bearer, the token that was fetched"
    origin = origin_of(attempt)
    return f"{sent}, from {origin}" if origin else sent


def _result(attempt: Attempt) -> str:
    if attempt.failure is not None:
        return _FAILURES[attempt.failure]
    if attempt.cut:
        return "truncated"
    return status_line(attempt.status or 0)
