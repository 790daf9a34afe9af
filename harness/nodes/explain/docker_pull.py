"""dockerd's pull explained. Contacts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.content import Manifest, an_image, an_index
from harness.nodes.explain.explanation import (
    BadInput,
    Effect,
    Explanation,
    HostExplained,
    IfAllFail,
    Place,
    Remark,
    Round,
)
from harness.nodes.explain.requests import explained_requests
from harness.nodes.explain.when import behaviour, behaviours
from harness.nodes.models.attempts import Attempt, Login
from harness.nodes.models.behaviours import HostBehaviour
from harness.nodes.models.dockerd.endpoints import DaemonConfig, Endpoint, endpoints
from harness.nodes.models.dockerd.pulling import DockerPull, simulate
from harness.nodes.models.reference import InvalidReference, Reference, normalised_reference

__all__ = ["DockerQuestion", "explain_docker"]

_FAILURES = ("down", "unreachable", "tls", "401", "404", "429", "500", "html", "404@layer")
_ALL_FAIL = ("down", "404", "401", "429")
_MOST_EXPLAINED = 20


@dataclass(frozen=True, kw_only=True)
class DockerQuestion:
    """What is asked."""

    image: str
    config: DaemonConfig
    login: Login
    """The user's login for the image's registry."""
    file: str
    """daemon.json, as shown."""
    lines: Mapping[str, int]
    """The line of daemon.json on which a mirror's URL stands, by ``scheme://host``."""
    read: tuple[str, ...] = ()
    when: Sequence[str] = ()
    notes: tuple[Remark, ...] = ()


def explain_docker(question: DockerQuestion) -> Explanation:
    """The answer. Raises :class:`BadInput` for what is no image and a ``when`` without host."""
    try:
        reference = normalised_reference(question.image)
        found = endpoints(question.image, question.config)
    except InvalidReference as error:
        raise BadInput(f"{question.image[:200]!r} names no image: {error}") from None
    logins = {endpoint.host: question.login for endpoint in found}
    told, words = behaviours(question.when, logins)
    image = an_index(an_image(layers=1, layer_size=2048))
    pull = _pull(question, told, image)
    return Explanation(
        image=str(reference),
        puller="docker",
        client="docker pull, as dockerd 20.10.24 was measured",
        read=question.read,
        assumed=words,
        remarks=(*question.notes, *_remarks(question, reference)),
        hosts=tuple(_host(question, found, position, image) for position in range(len(found))),
        rounds=(_round(question, found, pull, image),),
        if_all_fail=_if_all_fail(question, found, image),
    )


def _pull(
    question: DockerQuestion, told: Mapping[str, HostBehaviour], image: Manifest
) -> DockerPull:
    return simulate(question.image, question.config, told, login=question.login, content=image)


def _remarks(question: DockerQuestion, reference: Reference) -> list[Remark]:
    if question.config.mirrors and reference.namespace != "docker.io":
        text = (
            f"registry-mirrors are for images of Docker Hub: none is asked for one of "
            f"{reference.namespace}"
        )
        return [Remark(text, Place(question.file, next(iter(question.lines.values()), None)))]
    return []


def _place(question: DockerQuestion, endpoint: Endpoint) -> Place | None:
    if not endpoint.is_mirror:
        return None
    return Place(question.file, question.lines.get(f"{endpoint.scheme}://{endpoint.host}"))


def _round(
    question: DockerQuestion,
    found: Sequence[Endpoint],
    pull: DockerPull,
    image: Manifest,
) -> Round:
    def place_of(attempt: Attempt) -> Place | None:
        for endpoint in found:
            if endpoint.host == attempt.host:
                return _place(question, endpoint)
        return None

    def origin_of(attempt: Attempt) -> str:
        del attempt
        return question.login.origin if question.login.user else ""

    lost = sum(attempt.seconds for attempt in pull.attempts)
    return Round(
        title="docker pull",
        requests=explained_requests(pull.attempts, image, place_of, origin_of),
        error=pull.error,
        code=None,
        seconds=None if lost == float("inf") else lost,
    )


def _host(
    question: DockerQuestion, found: Sequence[Endpoint], position: int, image: Manifest
) -> HostExplained:
    endpoint = found[position]
    checked = "checked against the system's authorities" if endpoint.verify else "not checked"
    is_https = endpoint.scheme == "https"
    login = question.login
    credential = "none, even after a 401; a token is asked for anonymously"
    if login.user:
        credential = f"after a challenge to its ping: {login.user}, from {login.origin}"
        if endpoint.is_mirror:
            credential += ", although that is the login of Docker Hub"
    return HostExplained(
        number=position + 1,
        name=endpoint.host,
        url=f"{endpoint.scheme}://{endpoint.host}/v2",
        because=endpoint.because,
        place=_place(question, endpoint),
        namespace=None,
        resolves=True,
        serves=True,
        why="asked for everything, from the manifest to the last layer",
        scheme="https only" if is_https else "plain HTTP",
        tls=f"certificate {checked}" if is_https else "",
        credential=credential,
        effects=_effects(question, found, position, image) if position < _MOST_EXPLAINED else (),
    )


def _effects(
    question: DockerQuestion, found: Sequence[Endpoint], position: int, image: Manifest
) -> tuple[Effect, ...]:
    """What happens if all endpoints before this one are down, and it fails in some way. A host that
    is asked over https and over http is one host."""
    host = found[position].host
    earlier = {one.host for one in found[:position]} - {host}
    before = {name: HostBehaviour(down=True) for name in earlier}
    healthy = _trace(_pull(question, before, image))
    effects = []
    for failure in _FAILURES:
        told = {**before, host: behaviour(failure, host, question.login)}
        pull = _pull(question, told, image)
        if _trace(pull) == healthy:
            continue
        at_host = [attempt for attempt in pull.attempts if attempt.host == host]
        served = any(a.host != host and a.status == 200 for a in pull.attempts)
        lost = sum(attempt.seconds for attempt in at_host)
        then = "ends the pull" if pull.error else "next host" if served else "goes on with it"
        if lost == float("inf"):
            effects.append(Effect(failure, "waits for ever", len(at_host), None, None))
        else:
            effects.append(Effect(failure, then, len(at_host), lost, 0.0))
    return tuple(effects)


def _trace(pull: DockerPull) -> object:
    return [(a.scheme, a.host, a.path, a.status, a.failure, a.cut) for a in pull.attempts]


def _if_all_fail(
    question: DockerQuestion, found: Sequence[Endpoint], image: Manifest
) -> tuple[IfAllFail, ...]:
    errors = []
    for failure in _ALL_FAIL:
        told = {one.host: behaviour(failure, one.host, question.login) for one in found}
        error = _pull(question, told, image).error
        if error is not None:
            errors.append(IfAllFail(failure, error))
    return tuple(errors)
