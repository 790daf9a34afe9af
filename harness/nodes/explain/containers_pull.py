"""The pull of skopeo or podman explained. Contacts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from harness.nodes.explain.effects import (
    effects,
    errors_if_all_fail,
    explained_round,
    sample_image,
)
from harness.nodes.explain.explanation import (
    BadInput,
    Diagnostic,
    Explanation,
    HostExplained,
    Round,
)
from harness.nodes.explain.when import behaviours
from harness.nodes.models.containers.execution import simulate
from harness.nodes.models.containers.registries_conf import RegistriesConf
from harness.nodes.models.containers.sources import (
    AuthFile,
    PullSource,
    long_names,
    pull_sources,
)
from harness.nodes.models.files import FileLine
from harness.nodes.models.network import Attempt, ClientRun, Login
from harness.nodes.models.reference import InvalidReference
from harness.nodes.models.simulated_network import HostBehaviour

__all__ = ["ContainersQuestion", "explain_containers"]

_FAILURES = ("down", "tls", "401", "404", "429", "500", "html", "404@layer", "truncate")
_ALL_FAIL = ("down", "404", "401")
_MOST_EXPLAINED = 20
"""Hosts whose failures are simulated."""
_IMAGE = sample_image()


@dataclass(frozen=True, kw_only=True)
class ContainersQuestion:
    """An image and everything that decides how skopeo or podman pulls it."""

    image: str
    tool: str
    """``skopeo`` or ``podman``."""
    config: RegistriesConf
    auth_file: AuthFile
    file: str
    """The main registries.conf, as shown to the user."""
    read: tuple[str, ...] = ()
    when: Sequence[str] = ()
    notes: tuple[Diagnostic, ...] = ()


def explain_containers(question: ContainersQuestion) -> Explanation:
    """The explanation. Raises :class:`BadInput` for an invalid image name or ``when``."""
    names: tuple[str, ...] = (question.image,)
    if question.tool == "podman":
        names = long_names(question.image, question.config)
        if not names:
            raise BadInput(
                f"{question.image[:200]!r} is a short name, and neither an alias nor "
                "unqualified-search-registries gives its registry",
                question.file,
            )
    try:
        sources = [(name, s) for name in names for s in pull_sources(name, question.config)]
    except InvalidReference as error:
        raise BadInput.image(question.image, error) from None
    logins = {source.host: question.auth_file.login_for(source) for _, source in sources}
    assumed, words = behaviours(question.when, logins)
    return Explanation(
        image=question.image,
        puller=question.tool,
        client=f"{question.tool}, as measured on skopeo 1.9.3",
        read=question.read,
        assumed=words,
        remarks=(*question.notes, *_diagnostics(question, sources)),
        hosts=tuple(
            _host(question, number, name, source)
            for number, (name, source) in enumerate(sources, 1)
        ),
        rounds=_rounds(question, names, assumed, logins),
        if_all_fail=errors_if_all_fail(_ALL_FAIL, logins, partial(_copy, question, names[0])),
    )


def _copy(
    question: ContainersQuestion, name: str, assumed: Mapping[str, HostBehaviour]
) -> ClientRun:
    return simulate(name, question.config, assumed, auth_file=question.auth_file, content=_IMAGE)


def _rounds(
    question: ContainersQuestion,
    names: Sequence[str],
    assumed: Mapping[str, HostBehaviour],
    logins: Mapping[str, Login],
) -> tuple[Round, ...]:
    """One copy for each name, until one succeeds."""

    def origin(attempt: Attempt) -> str:
        login = logins.get(attempt.host)
        return login.origin if login is not None and login.user else ""

    found: list[Round] = []
    for name in names:
        copy = _copy(question, name, assumed)
        places = {
            source.host: _place(question, source) for source in pull_sources(name, question.config)
        }

        def place(
            attempt: Attempt, places: Mapping[str, FileLine | None] = places
        ) -> FileLine | None:
            return places.get(attempt.host)

        title = f"{question.tool} pulls {name}"
        found.append(explained_round(title, copy, _IMAGE, place, origin))
        if copy.error is None:
            break
    return tuple(found)


def _place(question: ContainersQuestion, source: PullSource) -> FileLine | None:
    """Where *source* is configured: a line of the main file or of a drop-in."""
    if source.line is None:
        return None
    for registry in question.config.registries:
        lines = {registry.line, *(mirror.line for mirror in registry.mirrors)}
        named = source.because.endswith(f" of {registry.prefix}")
        if named and source.line in lines and registry.file and "/" in registry.file:
            name = registry.file.partition("/")[2]
            return FileLine(f"{question.file}.d/{name}", source.line)
    return FileLine(question.file, source.line)


def _diagnostics(
    question: ContainersQuestion, sources: Sequence[tuple[str, PullSource]]
) -> list[Diagnostic]:
    found = []
    for _, source in sources:
        name = f"{source.reference.namespace}/{source.reference.repository}"
        registry = question.config.registry_for(name)
        if registry is not None and registry.blocked:
            text = f"{registry.prefix} is blocked and never contacted; its mirrors still are"
            found.append(Diagnostic(text, _place(question, source)))
    used = {source.host for _, source in sources}
    for registry in question.config.registries:
        for name, source in sources:
            if source.is_primary and registry.match(name) is not None:
                found += [
                    Diagnostic(
                        f"mirror {mirror.location} is skipped: it serves "
                        f"{'digests' if registry.mirror_by_digest_only else mirror.usage} only",
                        FileLine(question.file, mirror.line),
                        is_warning=False,
                    )
                    for mirror in registry.mirrors
                    if mirror.location.partition("/")[0] not in used
                ]
    return found


def _host(
    question: ContainersQuestion, number: int, name: str, source: PullSource
) -> HostExplained:
    login = question.auth_file.login_for(source)
    credential = "none; a Basic challenge is answered with an empty user and password"
    if login.user:
        credential = f"sent if the ping is challenged: {login.user}, from {login.origin}"
    earlier: dict[str, HostBehaviour] = {}
    for one in pull_sources(name, question.config):
        if one == source:
            break
        earlier[one.host] = HostBehaviour(down=True)
    return HostExplained(
        number=number,
        name=source.host,
        url=f"https://{source.host}/v2",
        because=source.because,
        place=_place(question, source),
        namespace=None,
        resolves=True,
        why="asked for the manifest; the source that serves it must serve all blobs",
        scheme="https first, plain HTTP if that fails" if source.insecure else "https only",
        tls="certificate not checked"
        if source.insecure
        else "certificate checked against the system's authorities",
        credential=credential,
        effects=effects(
            _FAILURES, source.host, login, partial(_copy, question, name), others=earlier
        )
        if number <= _MOST_EXPLAINED
        else (),
    )
