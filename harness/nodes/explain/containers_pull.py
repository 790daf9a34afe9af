"""The pull of skopeo or podman explained. Contacts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from harness.nodes.models.containers.execution import ImageCopy, simulate
from harness.nodes.models.containers.registries_conf import RegistriesConf
from harness.nodes.models.containers.sources import AuthFile, PullSource, long_names, pull_sources
from harness.nodes.models.reference import InvalidReference

__all__ = ["ContainersQuestion", "explain_containers"]

_FAILURES = ("down", "tls", "401", "404", "429", "500", "html", "404@layer", "truncate")
_ALL_FAIL = ("down", "404", "401")
_MOST_EXPLAINED = 20


@dataclass(frozen=True, kw_only=True)
class ContainersQuestion:
    """What is asked."""

    image: str
    tool: str
    """``skopeo`` or ``podman``."""
    config: RegistriesConf
    auth_file: AuthFile
    file: str
    """The main file, as shown."""
    read: tuple[str, ...] = ()
    when: Sequence[str] = ()
    notes: tuple[Remark, ...] = ()


def explain_containers(question: ContainersQuestion) -> Explanation:
    """The answer. Raises :class:`BadInput` for what is no image and a ``when`` without host."""
    names: tuple[str, ...] = (question.image,)
    if question.tool == "podman":
        names = long_names(question.image, question.config)
        if not names:
            raise BadInput(
                f"{question.image[:200]!r} names no registry, and neither an alias nor "
                "unqualified-search-registries says where to look",
                question.file,
            )
    sources = _sources(question, names)
    logins = {source.host: question.auth_file.login_for(source) for _, source in sources}
    told, words = behaviours(question.when, logins)
    image = an_index(an_image(layers=1, layer_size=2048))
    version = "as skopeo 1.9.3 was measured"
    return Explanation(
        image=question.image,
        puller=question.tool,
        client=f"{question.tool}, {version}",
        read=question.read,
        assumed=words,
        remarks=(*question.notes, *_remarks(question, sources)),
        hosts=tuple(
            _host(question, number, name, source, image)
            for number, (name, source) in enumerate(sources, 1)
        ),
        rounds=_rounds(question, names, told, image, logins),
        if_all_fail=_if_all_fail(question, names[0], logins, image),
    )


def _sources(question: ContainersQuestion, names: Sequence[str]) -> list[tuple[str, PullSource]]:
    try:
        return [(name, s) for name in names for s in pull_sources(name, question.config)]
    except InvalidReference as error:
        raise BadInput(f"{question.image[:200]!r} names no image: {error}") from None


def _copy(
    question: ContainersQuestion,
    name: str,
    told: Mapping[str, HostBehaviour],
    image: Manifest,
) -> ImageCopy:
    return simulate(name, question.config, told, auth_file=question.auth_file, content=image)


def _rounds(
    question: ContainersQuestion,
    names: Sequence[str],
    told: Mapping[str, HostBehaviour],
    image: Manifest,
    logins: Mapping[str, Login],
) -> tuple[Round, ...]:
    found: list[Round] = []

    def origin(attempt: Attempt) -> str:
        login = logins.get(attempt.host)
        return login.origin if login is not None and login.user else ""

    def place_of(copy: ImageCopy) -> Callable[[Attempt], Place | None]:
        places = {source.host: _place(question, source) for source in copy.sources}
        return lambda attempt: places.get(attempt.host)

    for name in names:
        copy = _copy(question, name, told, image)
        found.append(
            Round(
                title=f"{question.tool} pulls {name}",
                requests=explained_requests(copy.attempts, image, place_of(copy), origin),
                error=None if copy.error is None else copy.error.message,
                code=None,
                seconds=sum(attempt.seconds for attempt in copy.attempts),
            )
        )
        if copy.error is None:
            break
    return tuple(found)


def _place(question: ContainersQuestion, source: PullSource) -> Place | None:
    if source.line is None:
        return None
    return Place(_file_of(question, source), source.line)


def _file_of(question: ContainersQuestion, source: PullSource) -> str:
    """The file in which *source* stands: the main one or a drop-in."""
    for registry in question.config.registries:
        lines = {registry.line, *(mirror.line for mirror in registry.mirrors)}
        named = source.because.endswith(f" of {registry.prefix}")
        if named and source.line in lines and registry.file and "/" in registry.file:
            return f"{question.file}.d/{registry.file.partition('/')[2]}"
    return question.file


def _remarks(
    question: ContainersQuestion, sources: Sequence[tuple[str, PullSource]]
) -> list[Remark]:
    found = []
    for _, source in sources:
        name = f"{source.reference.namespace}/{source.reference.repository}"
        registry = question.config.registry_for(name)
        if registry is not None and registry.blocked:
            found.append(
                Remark(
                    f"{registry.prefix} is blocked: it is never contacted, but its mirrors are",
                    _place(question, source),
                )
            )
    used = {source.host for _, source in sources}
    for registry in question.config.registries:
        for name, source in sources:
            if source.is_primary and registry.match(name) is not None:
                found += [
                    Remark(
                        f"the mirror {mirror.location} is left out: it serves "
                        f"{'digests' if registry.mirror_by_digest_only else mirror.usage} only",
                        Place(question.file, mirror.line),
                        is_warning=False,
                    )
                    for mirror in registry.mirrors
                    if mirror.location.partition("/")[0] not in used
                ]
    return found


def _host(
    question: ContainersQuestion, number: int, name: str, source: PullSource, image: Manifest
) -> HostExplained:
    login = question.auth_file.login_for(source)
    scheme = "https first, and plain HTTP if that fails" if source.insecure else "https only"
    checked = "not checked" if source.insecure else "checked against the system's authorities"
    credential = "none; a Basic challenge is answered with an empty user and password"
    if login.user:
        credential = f"after a challenge to its ping: {login.user}, from {login.origin}"
    return HostExplained(
        number=number,
        name=source.host,
        url=f"https://{source.host}/v2",
        because=source.because,
        place=_place(question, source),
        namespace=None,
        resolves=True,
        serves=True,
        why="asked for the manifest; blobs come from the source that gave it, or not at all",
        scheme=scheme,
        tls=f"certificate {checked}",
        credential=credential,
        effects=_effects(question, name, source, image) if number <= _MOST_EXPLAINED else (),
    )


def _effects(
    question: ContainersQuestion, name: str, source: PullSource, image: Manifest
) -> tuple[Effect, ...]:
    """What happens if all sources before *source* are down, and it fails in some way."""
    before = {}
    for one in pull_sources(name, question.config):
        if one == source:
            break
        before[one.host] = HostBehaviour(down=True)
    login = question.auth_file.login_for(source)
    found = []
    healthy = _trace(_copy(question, name, before, image))
    for failure in _FAILURES:
        told = {**before, source.host: behaviour(failure, source.host, login)}
        copy = _copy(question, name, told, image)
        if _trace(copy) == healthy:
            continue
        at_host = [attempt for attempt in copy.attempts if attempt.host == source.host]
        served = any(a.host != source.host and a.status == 200 for a in copy.attempts)
        then = "ends the pull" if copy.error else "next host" if served else "goes on with it"
        lost = sum(attempt.seconds for attempt in at_host)
        found.append(Effect(failure, then, len(at_host), lost, 0.0))
    return tuple(found)


def _trace(copy: ImageCopy) -> object:
    return [(a.scheme, a.host, a.path, a.status, a.failure, a.cut) for a in copy.attempts]


def _if_all_fail(
    question: ContainersQuestion, name: str, logins: Mapping[str, Login], image: Manifest
) -> tuple[IfAllFail, ...]:
    found = []
    for failure in _ALL_FAIL:
        told = {host: behaviour(failure, host, login) for host, login in logins.items()}
        error = _copy(question, name, told, image).error
        if error is not None:
            found.append(IfAllFail(failure, error.message))
    return tuple(found)
