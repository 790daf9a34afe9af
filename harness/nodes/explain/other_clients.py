"""The pulls of dockerd, skopeo and podman explained: from files to an Explanation.

These clients try one host after the other. Contacts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.nodes.explain.disk import (
    is_directory,
    listed,
    read_required,
    read_text,
    stays_below,
)
from harness.nodes.explain.effects import (
    Simulate,
    effects,
    errors_if_all_fail,
    explained_round,
    sample_image,
)
from harness.nodes.explain.explanation import (
    BadInput,
    Diagnostic,
    Effect,
    ExplainOptions,
    Explanation,
    HostExplained,
    Round,
)
from harness.nodes.explain.when import behaviours
from harness.nodes.models import dockerd
from harness.nodes.models.containers import execution as image_copy
from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    RegistriesConf,
    read_registries_conf,
)
from harness.nodes.models.containers.sources import (
    PullSource,
    login_for,
    long_names,
    pull_sources,
    read_auth_file,
)
from harness.nodes.models.files import FileLine
from harness.nodes.models.kubelet import InvalidSecret, read_docker_config
from harness.nodes.models.network import ANONYMOUS, Attempt, ClientRun, Login
from harness.nodes.models.reference import InvalidReference, normalised_reference
from harness.nodes.models.simulated_network import HostBehaviour, SimulatedNetwork

_MOST_EXPLAINED = 20
"""Hosts whose failures are simulated."""
_IMAGE = sample_image()
_HUB_KEY = "https://index.docker.io/v1/"
"""The key under which `docker login` stores the login of Docker Hub."""


@dataclass(frozen=True)
class _Host:
    """A host without the effects of its failures, its login, and the round that tries it."""

    host: HostExplained
    login: Login
    title: str
    simulate: Simulate


def _explanation(
    options: ExplainOptions,
    hosts: Sequence[_Host],
    *,
    image: str,
    client: str,
    read: Sequence[str],
    remarks: Sequence[Diagnostic],
    failures: Sequence[str],
    all_fail: Sequence[str],
    token_login: Login = ANONYMOUS,
) -> Explanation:
    """The explanation of a pull from *hosts*; *token_login* is what token services get."""
    logins = {one.host.name: one.login for one in hosts}
    assumed, words = behaviours(options.when, logins)

    def origin(attempt: Attempt) -> str:
        login = logins.get(attempt.host, token_login)
        return login.origin if login.user else ""

    rounds: list[Round] = []
    for title, simulate in {one.title: one.simulate for one in hosts}.items():
        places = {one.host.name: one.host.place for one in reversed(hosts) if one.title == title}
        run = simulate(assumed)
        rounds.append(explained_round(title, run, _IMAGE, places, origin))
        if run.error is None:
            break
    explained = []
    for position, one in enumerate(hosts):
        found: tuple[Effect, ...] = ()
        if position < _MOST_EXPLAINED:
            earlier = {other.host.name for other in hosts[:position] if other.title == one.title}
            # A host that is tried over https and over http is one host.
            down = dict.fromkeys(earlier - {one.host.name}, HostBehaviour(down=True))
            found = effects(failures, one.host.name, one.login, one.simulate, others=down)
        explained.append(replace(one.host, number=position + 1, effects=found))
    return Explanation(
        image=image,
        puller=options.puller,
        client=client,
        read=tuple(read),
        assumed=words,
        remarks=tuple(remarks),
        hosts=tuple(explained),
        rounds=tuple(rounds),
        if_all_fail=errors_if_all_fail(all_fail, logins, hosts[0].simulate),
    )


def _read(named: Path | None, default: str, read: list[str]) -> tuple[Path, str, list[Diagnostic]]:
    """The file *named* or else the *default*, its text, and a note if there is no default."""
    path = named or Path(default)
    text = read_text(path) if named is None else read_required(path)
    if text is None:
        return path, "", [Diagnostic(f"no {path} here", is_warning=False)]
    read.append(str(path))
    return path, text, []


# -- dockerd ------------------------------------------------------------------------------------
def explain_docker(options: ExplainOptions) -> Explanation:
    """The pull of dockerd. Raises :class:`BadInput`."""
    read: list[str] = []
    path, text, remarks = _read(options.daemon_json, "/etc/docker/daemon.json", read)
    try:
        config = dockerd.read_daemon_json(text)
    except dockerd.InvalidDaemonJson as error:
        fix = "dockerd does not start with such a file"
        raise BadInput(error.reason, str(path), error.line, fix) from None
    try:
        reference = normalised_reference(options.image)
        found = dockerd.endpoints(reference, config)
    except InvalidReference as error:
        raise BadInput.image(options.image, error) from None
    login = _docker_login(options.auth_file, reference.namespace, read)

    def place(url: str) -> FileLine:
        before, at, _ = text.partition(f'"{url}')
        return FileLine(str(path), before.count("\n") + 1 if at else None)

    if config.mirrors and reference.namespace != "docker.io":
        first = config.mirrors[0]
        remarks.append(
            Diagnostic(
                "registry-mirrors apply to Docker Hub's images only; they are not used for "
                f"{reference.namespace}",
                place(f"{first.scheme}://{first.host}"),
            )
        )

    def simulate(hosts: Mapping[str, HostBehaviour]) -> ClientRun:
        return dockerd.run(options.image, config, SimulatedNetwork(hosts, _IMAGE), login)

    hosts = []
    for endpoint in found:
        url = f"{endpoint.scheme}://{endpoint.host}"
        is_https = endpoint.scheme == "https"
        checked = "checked against the system's authorities" if endpoint.verify else "not checked"
        credential = "none; after a 401 only an anonymous token is requested"
        if login.user:
            credential = f"sent if the ping is challenged: {login.user}, from {login.origin}"
            if endpoint.is_mirror:
                credential += ", although that is the login of Docker Hub"
        host = HostExplained(
            name=endpoint.host,
            url=f"{url}/v2",
            because=endpoint.because,
            place=place(url) if endpoint.is_mirror else None,
            why="serves the whole pull, from the manifest to the last layer",
            scheme="https only" if is_https else "plain HTTP",
            tls=f"certificate {checked}" if is_https else "",
            credential=credential,
        )
        hosts.append(_Host(host, login, "docker pull", simulate))
    return _explanation(
        options,
        hosts,
        image=str(reference),
        client="docker pull, as measured on dockerd 20.10.24",
        read=read,
        remarks=remarks,
        failures=("down", "unreachable", "tls", "401", "404", "429", "500", "html", "404@layer"),
        all_fail=("down", "404", "401", "429"),
        token_login=login,
    )


def _docker_login(path: Path | None, namespace: str, read: list[str]) -> Login:
    """The login that `docker login` stores for the registry *namespace*."""
    if path is None:
        return ANONYMOUS
    text = read_required(path)
    read.append(str(path))
    try:
        entries = read_docker_config(text)
    except InvalidSecret as error:
        raise BadInput(str(error), str(path)) from None
    wanted = _HUB_KEY if namespace == "docker.io" else namespace
    for entry in entries:
        if entry.key == wanted:
            return Login(entry.username, entry.password, f"{path.name}, key {entry.key!r}")
    return ANONYMOUS


# -- skopeo and podman --------------------------------------------------------------------------
def explain_containers(options: ExplainOptions) -> Explanation:
    """The pull of skopeo or podman. Raises :class:`BadInput`."""
    read: list[str] = []
    path, config, remarks = _registries_conf(options, read)
    stored: Mapping[str, Login] = {}
    if options.auth_file is not None:
        text = read_required(options.auth_file)
        read.append(str(options.auth_file))
        try:
            stored = read_auth_file(text)
        except InvalidSecret as error:
            raise BadInput(str(error), str(options.auth_file)) from None
    names: tuple[str, ...] = (options.image,)
    if options.puller == "podman":
        names = long_names(options.image, config)
        if not names:
            raise BadInput(
                f"{options.image[:200]!r} is a short name, and neither an alias nor "
                "unqualified-search-registries gives its registry",
                str(path),
            )
    try:
        sources = [(name, s) for name in names for s in pull_sources(name, config)]
    except InvalidReference as error:
        raise BadInput.image(options.image, error) from None

    def simulate(name: str, hosts: Mapping[str, HostBehaviour]) -> ClientRun:
        return image_copy.run(name, config, SimulatedNetwork(hosts, _IMAGE), stored)

    hosts = []
    for name, source in sources:
        login = login_for(stored, source)
        credential = "none; a Basic challenge is answered with an empty user and password"
        if login.user:
            credential = f"sent if the ping is challenged: {login.user}, from {login.origin}"
        scheme = "https first, plain HTTP if that fails" if source.insecure else "https only"
        checked = "not checked" if source.insecure else "checked against the system's authorities"
        host = HostExplained(
            name=source.host,
            url=f"https://{source.host}/v2",
            because=source.because,
            place=_place(path, config, source),
            why="asked for the manifest; the source that serves it must serve all blobs",
            scheme=scheme,
            tls=f"certificate {checked}",
            credential=credential,
        )
        hosts.append(_Host(host, login, f"{options.puller} pulls {name}", partial(simulate, name)))
    return _explanation(
        options,
        hosts,
        image=options.image,
        client=f"{options.puller}, as measured on skopeo 1.9.3",
        read=read,
        remarks=[*remarks, *_diagnostics(path, config, sources)],
        failures=("down", "tls", "401", "404", "429", "500", "html", "404@layer", "truncate"),
        all_fail=("down", "404", "401"),
    )


def _registries_conf(
    options: ExplainOptions, read: list[str]
) -> tuple[Path, RegistriesConf, list[Diagnostic]]:
    """The main file, its settings with those of its drop-ins, and a note if there is no file."""
    path, text, remarks = _read(options.registries_conf, "/etc/containers/registries.conf", read)
    directory = path.with_name(f"{path.name}.d")
    drop_ins: dict[str, str] = {}
    for entry in listed(directory) if is_directory(directory) else ():
        if entry.name.endswith(".conf"):
            stays_below(directory / entry.name, directory)
            drop_ins[entry.name] = read_text(directory / entry.name) or ""
            read.append(str(directory / entry.name))
    try:
        return path, read_registries_conf(text, drop_ins), [] if read else remarks
    except InvalidRegistriesConf as error:
        name = str(path)
        if error.file is not None and "/" in error.file:
            name = str(directory / error.file.partition("/")[2])
        raise BadInput(error.reason, name, error.line, "all pulls fail with such a file") from None


def _place(path: Path, config: RegistriesConf, source: PullSource) -> FileLine | None:
    """Where *source* is configured: a line of the main file or of a drop-in."""
    if source.line is None:
        return None
    for registry in config.registries:
        lines = {registry.line, *(mirror.line for mirror in registry.mirrors)}
        named = source.because.endswith(f" of {registry.prefix}")
        if named and source.line in lines and registry.file and "/" in registry.file:
            return FileLine(f"{path}.d/{registry.file.partition('/')[2]}", source.line)
    return FileLine(str(path), source.line)


def _diagnostics(
    path: Path, config: RegistriesConf, sources: Sequence[tuple[str, PullSource]]
) -> list[Diagnostic]:
    found = []
    for _, source in sources:
        name = f"{source.reference.namespace}/{source.reference.repository}"
        registry = config.registry_for(name)
        if registry is not None and registry.blocked:
            text = f"{registry.prefix} is blocked and never contacted; its mirrors still are"
            found.append(Diagnostic(text, _place(path, config, source)))
    used = {source.host for _, source in sources}
    for registry in config.registries:
        for name, source in sources:
            if source.is_primary and registry.match(name) is not None:
                found += [
                    Diagnostic(
                        f"mirror {mirror.location} is skipped: it serves "
                        f"{'digests' if registry.mirror_by_digest_only else mirror.usage} only",
                        FileLine(str(path), mirror.line),
                        is_warning=False,
                    )
                    for mirror in registry.mirrors
                    if mirror.location.partition("/")[0] not in used
                ]
    return found
