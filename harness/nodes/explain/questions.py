"""From command-line options to an explanation: reads the files, then calls the pure part."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from harness.nodes.explain.containerd_pull import explain_containerd
from harness.nodes.explain.disk import read_required
from harness.nodes.explain.explanation import BadInput, Diagnostic, ExplainOptions, Explanation
from harness.nodes.explain.files import ContainerdQuestion, read_containerd_files
from harness.nodes.explain.other_clients import explain_containers, explain_docker
from harness.nodes.models.containerd.pullers import Ctr, UnknownArgument
from harness.nodes.models.containerd.releases import RELEASES, UnknownRelease, release_named
from harness.nodes.models.kubelet import InvalidSecret, KeyringEntry, read_docker_config
from harness.nodes.models.reference import InvalidReference, ctr_reference, normalised_reference

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
    return (explain_docker if options.puller == "docker" else explain_containers)(options)


def _note(text: str) -> Diagnostic:
    return Diagnostic(text, is_warning=False)


def _containerd(options: ExplainOptions) -> Explanation:
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
    for path in map(ctr.flags.get, ("tlscacert", "tlscert", "tlskey")) if ctr else ():
        if path:
            files.take(path)
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
    from harness.nodes.explain.probe import probed_containerd  # imports httpx

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
    newest = RELEASES[-1].version
    text = f"no containerd installed here; using {newest}; --containerd VERSION overrides it"
    return newest, (_note(text),)


def _secrets(paths: Iterable[Path], read: list[str]) -> tuple[KeyringEntry, ...]:
    entries: list[KeyringEntry] = []
    for path in paths:
        text = read_required(path)
        try:
            found = read_docker_config(text, path.name)
        except InvalidSecret as error:
            fix = "kubelet pulls nothing for a pod with such a secret"
            raise BadInput(str(error), str(path), fix=fix) from None
        read.append(str(path))
        entries += [replace(entry, secret=path.name) for entry in found]
    return tuple(entries)
