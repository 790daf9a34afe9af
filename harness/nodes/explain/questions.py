"""From command-line options to an explanation: reads the files, then calls the pure part."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.nodes.explain.disk import (
    LARGEST_SECRET,
    is_directory,
    listed,
    read_required,
    read_text,
    stays_below,
)
from harness.nodes.explain.explanation import BadInput, Diagnostic, Explanation
from harness.nodes.models.kubelet import InvalidSecret, KeyringEntry, read_docker_config
from harness.nodes.models.network import ANONYMOUS, Login
from harness.nodes.models.reference import InvalidReference, ctr_reference, normalised_reference

__all__ = ["ExplainOptions", "answer"]


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """The options of ``pullproof explain``."""

    image: str
    puller: str = "cri"
    certs_d: Path | None = None
    config: Path | None = None
    release: str | None = None
    ctr_options: str | None = None
    pull_secrets: tuple[Path, ...] = ()
    node_secret: Path | None = None
    auth_file: Path | None = None
    registries_conf: Path | None = None
    daemon_json: Path | None = None
    when: tuple[str, ...] = ()
    probe: bool = False
    probe_with_credentials: bool = False


_VALID_FOR = {
    "certs_d": ("cri", "ctr"),
    "config": ("cri", "ctr"),
    "release": ("cri", "ctr"),
    "probe": ("cri", "ctr"),
    "ctr_options": ("ctr",),
    "pull_secrets": ("cri",),
    "node_secret": ("cri",),
    "auth_file": ("docker", "skopeo", "podman"),
    "registries_conf": ("skopeo", "podman"),
    "daemon_json": ("docker",),
}
_OPTION = {"release": "--containerd", "ctr_options": "--ctr", "pull_secrets": "--pull-secret"}


def answer(options: ExplainOptions) -> Explanation:
    """The explanation. Raises :class:`BadInput`."""
    for name, pullers in _VALID_FOR.items():
        if getattr(options, name) and options.puller not in pullers:
            option = _OPTION.get(name, "--" + name.replace("_", "-"))
            raise BadInput(
                f"{option} does not apply to --puller {options.puller}",
                fix=f"use it with {' or '.join(pullers)}",
            )
    if options.puller in {"cri", "ctr"}:
        return _containerd(options)
    return _docker(options) if options.puller == "docker" else _containers(options)


def _note(text: str) -> Diagnostic:
    return Diagnostic(text, is_warning=False)


# -- containerd ---------------------------------------------------------------------------------
def _containerd(options: ExplainOptions) -> Explanation:
    from harness.nodes.explain.containerd_pull import explain_containerd
    from harness.nodes.explain.files import ContainerdQuestion, read_containerd_files
    from harness.nodes.models.containerd.pullers import Ctr, UnknownArgument
    from harness.nodes.models.containerd.releases import UnknownRelease, release_named

    version, notes = _release(options.release)
    try:
        release = release_named(version)
    except UnknownRelease as error:
        raise BadInput(f"--containerd: {error}") from None
    ctr = None
    if options.puller == "ctr":
        try:
            ctr = Ctr.from_arguments("pull", shlex.split(options.ctr_options or ""))
        except UnknownArgument as error:
            raise BadInput(f"--ctr: {error}") from None
        except ValueError:
            raise BadInput("--ctr: a quotation mark is not closed") from None
    try:
        parse = ctr_reference if ctr else normalised_reference
        namespace = parse(options.image).namespace
    except InvalidReference as error:
        full = "; ctr needs the full name, such as docker.io/library/nginx:1.27" if ctr else ""
        raise BadInput.image(options.image, f"{error}{full}") from None
    files = read_containerd_files(
        namespace, release, options.certs_d, options.config, ctr.hosts_dir if ctr else None
    )
    for path in (ctr.ca, ctr.certificate, ctr.key) if ctr else ():
        if path:
            files.take(path, largest=LARGEST_SECRET)
    node_secrets = (options.node_secret,) if options.node_secret else ()
    if options.puller == "cri" and files.config_toml is None:
        notes += (
            _note(
                "no --config given; assuming that config_path in containerd's config.toml names "
                f"{options.certs_d}"
            ),
        )
    elif options.puller == "cri" and options.config is None and not files.config_toml:
        notes += (_note("no /etc/containerd/config.toml here; showing containerd's defaults"),)
    question = ContainerdQuestion(
        image=options.image,
        release=release,
        files=files,
        ctr=ctr,
        of_pod=_secrets(options.pull_secrets, files.read),
        of_node=_secrets(node_secrets, files.read),
        when=options.when,
        notes=notes,
    )
    if not options.probe:
        return explain_containerd(question)
    from harness.nodes.explain.probe import probed_containerd

    return probed_containerd(question, with_credentials=options.probe_with_credentials)


_VERSION = re.compile(r"\bv?(\d+\.\d+\.\d+[\w.~+-]*)")


def _release(wanted: str | None) -> tuple[str, tuple[Diagnostic, ...]]:
    """The version to explain, and a note if it was not given."""
    if wanted is not None:
        return wanted, ()
    try:
        said = subprocess.run(
            ["containerd", "--version"], capture_output=True, text=True, timeout=5, check=True
        ).stdout[:1000]
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        said = ""
    match = _VERSION.search(said)
    if match is not None:
        note = _note(
            f"using the installed containerd {match[1]}; --containerd VERSION overrides it"
        )
        return match[1].partition("~")[0].partition("+")[0], (note,)
    from harness.nodes.models.containerd.releases import RELEASES

    newest = RELEASES[-1].version
    text = f"no containerd installed here; using {newest}; --containerd VERSION overrides it"
    return newest, (_note(text),)


def _secrets(paths: Iterable[Path], read: list[str]) -> tuple[KeyringEntry, ...]:
    entries: list[KeyringEntry] = []
    for path in paths:
        text = read_required(path, largest=LARGEST_SECRET)
        try:
            found = read_docker_config(text, path.name)
        except InvalidSecret as error:
            fix = "kubelet pulls nothing for a pod with such a secret"
            raise BadInput(str(error), str(path), fix=fix) from None
        read.append(str(path))
        entries += [replace(entry, secret=path.name) for entry in found]
    return tuple(entries)


# -- dockerd ------------------------------------------------------------------------------------
_HUB_KEY = "https://index.docker.io/v1/"
"""The key under which `docker login` stores the login of Docker Hub."""


def _docker(options: ExplainOptions) -> Explanation:
    from harness.nodes.explain.docker_pull import DockerQuestion, explain_docker
    from harness.nodes.models.dockerd import InvalidDaemonJson, read_daemon_json

    path = options.daemon_json or Path("/etc/docker/daemon.json")
    text = read_text(path) if options.daemon_json is None else read_required(path)
    read = [] if text is None else [str(path)]
    try:
        config = read_daemon_json(text or "")
    except InvalidDaemonJson as error:
        fix = "dockerd does not start with such a file"
        raise BadInput(error.reason, str(path), error.line, fix) from None
    lines: dict[str, int] = {}
    for mirror in config.mirrors:
        url = f"{mirror.scheme}://{mirror.host}"
        position = (text or "").find(f'"{url}')
        if position >= 0:
            lines.setdefault(url, (text or "").count("\n", 0, position) + 1)
    return explain_docker(
        DockerQuestion(
            image=options.image,
            config=config,
            login=_docker_login(options, read),
            file=str(path),
            lines=lines,
            read=tuple(read),
            when=options.when,
            notes=() if text is not None else (_note(f"no {path} here"),),
        )
    )


def _docker_login(options: ExplainOptions, read: list[str]) -> Login:
    """The login that `docker login` stores for the image's registry."""
    path = options.auth_file
    if path is None:
        return ANONYMOUS
    text = read_required(path, largest=LARGEST_SECRET)
    read.append(str(path))
    try:
        entries = read_docker_config(text)
        namespace = normalised_reference(options.image).namespace
    except InvalidSecret as error:
        raise BadInput(str(error), str(path)) from None
    except InvalidReference as error:
        raise BadInput.image(options.image, error) from None
    wanted = _HUB_KEY if namespace == "docker.io" else namespace
    for entry in entries:
        if entry.key == wanted:
            return Login(entry.username, entry.password, f"{path.name}, key {entry.key!r}")
    return ANONYMOUS


# -- skopeo and podman --------------------------------------------------------------------------
def _containers(options: ExplainOptions) -> Explanation:
    from harness.nodes.explain.containers_pull import ContainersQuestion, explain_containers
    from harness.nodes.models.containers.registries_conf import (
        InvalidRegistriesConf,
        read_registries_conf,
    )
    from harness.nodes.models.containers.sources import AuthFile, read_auth_file

    path = options.registries_conf or Path("/etc/containers/registries.conf")
    text = read_text(path) if options.registries_conf is None else read_required(path)
    read = [] if text is None else [str(path)]
    directory = path.with_name(f"{path.name}.d")
    drop_ins: dict[str, str] = {}
    for entry in listed(directory) if is_directory(directory) else ():
        if entry.name.endswith(".conf"):
            stays_below(directory / entry.name, directory)
            drop_ins[entry.name] = read_text(directory / entry.name) or ""
            read.append(str(directory / entry.name))
    try:
        config = read_registries_conf(text or "", drop_ins)
    except InvalidRegistriesConf as error:
        name = str(path)
        if error.file is not None and "/" in error.file:
            name = str(directory / error.file.partition("/")[2])
        raise BadInput(error.reason, name, error.line, "all pulls fail with such a file") from None
    notes = () if read else (_note(f"no {path} here"),)
    auth_file = AuthFile()
    if options.auth_file is not None:
        secrets = read_required(options.auth_file, largest=LARGEST_SECRET)
        read.append(str(options.auth_file))
        try:
            auth_file = read_auth_file(secrets)
        except InvalidSecret as error:
            raise BadInput(str(error), str(options.auth_file)) from None
    return explain_containers(
        ContainersQuestion(
            image=options.image,
            tool=options.puller,
            config=config,
            auth_file=auth_file,
            file=str(path),
            read=tuple(read),
            when=options.when,
            notes=notes,
        )
    )
