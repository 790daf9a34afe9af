"""What a pull does when one host fails: simulated with the model of the client.

The three kinds of client (containerd, dockerd, containers/image) share everything here: each gives
a function that simulates its pull for given host behaviours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlencode

from harness.content import Manifest, an_image, an_index
from harness.nodes.explain.explanation import Effect, IfAllFail, RequestExplained, Round
from harness.nodes.explain.when import behaviour
from harness.nodes.models.files import FileLine
from harness.nodes.models.network import Attempt, ClientRun, Failure, Login
from harness.nodes.models.registry_api import status_line
from harness.nodes.models.simulated_network import HostBehaviour, RegistryContent

Simulate = Callable[[Mapping[str, HostBehaviour]], ClientRun]
"""The pull for these behaviours, by host; all other hosts are healthy."""


def sample_image(layers: int = 1) -> Manifest:
    """The image that explanations pull: an index with one image of *layers* layers."""
    return an_index(an_image(layers=layers, layer_size=2048))


def effects(
    failures: Iterable[str],
    host: str,
    login: Login,
    simulate: Simulate,
    *,
    others: Mapping[str, HostBehaviour] | None = None,
    with_another_layer: Simulate | None = None,
) -> tuple[Effect, ...]:
    """What happens if *host* behaves like each of *failures*; those that change nothing are left
    out. *others* is how other hosts behave, *with_another_layer* the pull of an image with one more
    layer, which shows what each layer costs."""
    others = others or {}
    healthy = _trace(simulate(others))
    found = []
    for name in failures:
        assumed = {**others, host: behaviour(name, host, login)}
        run = simulate(assumed)
        if _trace(run) != healthy:
            longer = run if with_another_layer is None else with_another_layer(assumed)
            found.append(_effect(name, host, run, longer))
    return tuple(found)


def _trace(run: ClientRun) -> object:
    return [(a.scheme, a.host, a.path, a.status, a.failure, a.cut) for a in run.attempts]


def _effect(name: str, host: str, run: ClientRun, longer: ClientRun) -> Effect:
    endless = run.seconds_lost == float("inf")
    if endless:
        then = "waits forever"
    elif run.error is not None:
        then = "pull fails"
    elif any(a.host != host and a.status == 200 for a in run.attempts):
        then = "next host"
    else:
        then = "same host"
    return Effect(
        behaviour=name,
        then=then,
        requests=sum(attempt.host == host for attempt in run.attempts),
        seconds=None if endless else run.seconds_lost,
        per_object=None if endless else longer.seconds_lost - run.seconds_lost,
    )


def errors_if_all_fail(
    failures: Iterable[str], logins: Mapping[str, Login], simulate: Simulate
) -> tuple[IfAllFail, ...]:
    """The error that the user sees if every host fails the same way. *logins* has every host."""
    runs = {
        name: simulate({host: behaviour(name, host, login) for host, login in logins.items()})
        for name in failures
    }
    return tuple(
        IfAllFail(name, run.message) for name, run in runs.items() if run.message is not None
    )


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


def explained_round(
    title: str,
    run: ClientRun,
    image: Manifest,
    places: Mapping[str, FileLine | None],
    origin_of: Callable[[Attempt], str],
) -> Round:
    """*run*, a pull of *image*, in words. *places* are the lines that name hosts; *origin_of* says
    where a credential comes from. Digests of the image are shown as ``DIGEST``."""
    content = RegistryContent(image)
    return Round(
        title=title,
        requests=tuple(
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
                seconds=_finite(attempt.seconds),
                place=places.get(attempt.host),
                at_once=attempt.lane != "",
            )
            for number, attempt in enumerate(run.attempts, 1)
        ),
        error=run.message,
        code=getattr(run.error, "code", None),
        seconds=_finite(run.seconds_lost),
    )


def _finite(seconds: float) -> float | None:
    return None if seconds == float("inf") else seconds


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
