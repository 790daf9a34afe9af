"""dockerd's pull explained. Contacts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.nodes.explain.effects import (
    Simulate,
    effects,
    errors_if_all_fail,
    explained_round,
    sample_image,
)
from harness.nodes.explain.explanation import BadInput, Diagnostic, Explanation, HostExplained
from harness.nodes.explain.when import behaviours
from harness.nodes.models.dockerd import DaemonConfig, Endpoint, endpoints, simulate
from harness.nodes.models.files import FileLine
from harness.nodes.models.network import ClientRun, Login
from harness.nodes.models.reference import InvalidReference, Reference, normalised_reference
from harness.nodes.models.simulated_network import HostBehaviour

__all__ = ["DockerQuestion", "explain_docker"]

_FAILURES = ("down", "unreachable", "tls", "401", "404", "429", "500", "html", "404@layer")
_ALL_FAIL = ("down", "404", "401", "429")
_MOST_EXPLAINED = 20
"""Endpoints whose failures are simulated."""


@dataclass(frozen=True, kw_only=True)
class DockerQuestion:
    """An image and everything that decides how dockerd pulls it."""

    image: str
    config: DaemonConfig
    login: Login
    """The user's login for the image's registry."""
    file: str
    """daemon.json, as shown to the user."""
    lines: Mapping[str, int]
    """The line of daemon.json that holds a mirror's URL, by ``scheme://host``."""
    read: tuple[str, ...] = ()
    when: Sequence[str] = ()
    notes: tuple[Diagnostic, ...] = ()


def explain_docker(question: DockerQuestion) -> Explanation:
    """The explanation. Raises :class:`BadInput` for an invalid image name or ``when``."""
    try:
        reference = normalised_reference(question.image)
        found = endpoints(reference, question.config)
    except InvalidReference as error:
        raise BadInput.image(question.image, error) from None
    logins = {endpoint.host: question.login for endpoint in found}
    assumed, words = behaviours(question.when, logins)
    image = sample_image()

    def pull(hosts: Mapping[str, HostBehaviour]) -> ClientRun:
        return simulate(question.image, question.config, hosts, login=question.login, content=image)

    places = {endpoint.host: _place(question, endpoint) for endpoint in reversed(found)}
    origin = question.login.origin if question.login.user else ""
    return Explanation(
        image=str(reference),
        puller="docker",
        client="docker pull, as measured on dockerd 20.10.24",
        read=question.read,
        assumed=words,
        remarks=(*question.notes, *_diagnostics(question, reference)),
        hosts=tuple(_host(question, found, position, pull) for position in range(len(found))),
        rounds=(
            explained_round(
                "docker pull",
                pull(assumed),
                image,
                lambda attempt: places.get(attempt.host),
                lambda _: origin,
            ),
        ),
        if_all_fail=errors_if_all_fail(_ALL_FAIL, logins, pull),
    )


def _diagnostics(question: DockerQuestion, reference: Reference) -> list[Diagnostic]:
    if question.config.mirrors and reference.namespace != "docker.io":
        text = (
            "registry-mirrors apply to Docker Hub's images only; they are not used for "
            f"{reference.namespace}"
        )
        return [
            Diagnostic(text, FileLine(question.file, next(iter(question.lines.values()), None)))
        ]
    return []


def _place(question: DockerQuestion, endpoint: Endpoint) -> FileLine | None:
    if not endpoint.is_mirror:
        return None
    return FileLine(question.file, question.lines.get(f"{endpoint.scheme}://{endpoint.host}"))


def _host(
    question: DockerQuestion, found: Sequence[Endpoint], position: int, pull: Simulate
) -> HostExplained:
    endpoint, login = found[position], question.login
    is_https = endpoint.scheme == "https"
    checked = "checked against the system's authorities" if endpoint.verify else "not checked"
    credential = "none; after a 401 only an anonymous token is requested"
    if login.user:
        credential = f"sent if the ping is challenged: {login.user}, from {login.origin}"
        if endpoint.is_mirror:
            credential += ", although that is the login of Docker Hub"
    # A host that is tried over https and over http is one host.
    earlier = {one.host for one in found[:position]} - {endpoint.host}
    return HostExplained(
        number=position + 1,
        name=endpoint.host,
        url=f"{endpoint.scheme}://{endpoint.host}/v2",
        because=endpoint.because,
        place=_place(question, endpoint),
        namespace=None,
        resolves=True,
        why="serves the whole pull, from the manifest to the last layer",
        scheme="https only" if is_https else "plain HTTP",
        tls=f"certificate {checked}" if is_https else "",
        credential=credential,
        effects=effects(
            _FAILURES,
            endpoint.host,
            login,
            pull,
            others={name: HostBehaviour(down=True) for name in earlier},
        )
        if position < _MOST_EXPLAINED
        else (),
    )
