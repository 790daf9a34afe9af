"""config.toml: the registry section of containerd."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import AddKey, Edit, RenameKey, SetValue, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules

if TYPE_CHECKING:
    from harness.nodes.models.containerd.releases import Release

__all__ = ["config_path_of", "registries", "rules"]

rules = Rules(Kind.CONTAINERD)

_DOCS = "containerd docs/cri/registry.md"
_SECTIONS = (
    ("plugins", "io.containerd.grpc.v1.cri"),
    ("plugins", "io.containerd.cri.v1.images"),
    ("plugins", "cri"),
)
_KEYS = ("config_path", "mirrors", "configs", "auths", "headers")


def registries(file: TomlFile) -> Iterator[tuple[str, ...]]:
    """The paths of the registry sections that the file has, under whichever name of the plugin."""
    for section in _SECTIONS:
        if file.table(*section, "registry"):
            yield (*section, "registry")


@cache
def _probed(version: object, section: str, release: Release) -> str:
    """What *release* makes of a file with this ``version`` (None: none) and the registry section of
    *section* (empty: none): ``read`` or ``ignored``, or why it does not start."""
    from harness.nodes.models.containerd.config_toml import InvalidConfig, parse_config_toml

    text = "" if version is None else f"version = {version}\n"
    if section:
        text += f'[plugins."{section}".registry]\nconfig_path = "/probe"\n'
    try:
        config = parse_config_toml(text, release)
    except InvalidConfig as error:
        return error.reason
    return "read" if config.config_path == "/probe" else "ignored"


def _is_version(version: object) -> bool:
    return version is None or (isinstance(version, int) and not isinstance(version, bool))


def _pulled_by_transfer_service(file: TomlFile, section: tuple[str, ...], release: Release) -> bool:
    """It takes all of ``config_path`` for the name of one directory."""
    from harness.nodes.models.containerd.config_toml import local_puller

    images, registry = file.table(*section[:-1]), file.table(*section)
    return release.transfer_service and local_puller(images, registry, release) is None


def config_path_of(file: TomlFile, section: tuple[str, ...]) -> str:
    """``config_path`` of a registry section, empty where it is absent or no text."""
    value = file.get(*section, "config_path")
    return value if isinstance(value, str) else ""


@rules("PPT003", "error", by="containerd", fixable=True)
def several_directories(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """config_path with several directories.

    why: since 2.1 the transfer service takes the list as the name of one directory: it finds
        nothing, and logs nothing
    fix: name one directory
    source: containerd#12415, containerd#12808; measured on 2.1.9
    """
    for section in registries(file):
        path = config_path_of(file, section)
        if ":" in path and _pulled_by_transfer_service(file, section, context.containerd):
            where = (*section, "config_path")
            what = f"{quoted(path)} is taken as one directory"
            # That of dockerd stands in containerd's own default; any other may be needed.
            first, _, others = path.partition(":")
            edits = (SetValue(where, first),) if others == "/etc/docker/certs.d" else ()
            yield Hit(file.at(*where), what, edits=edits)


@rules("PPT008", "warning", by="containerd", fixable=True)
def no_config_path(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """config_path is not set.

    why: before 2.2, containerd then reads no hosts.toml at all; since 2.2 the default is a list of
        two directories, which the transfer service takes as the name of one and does not find
    fix: set config_path = "/etc/containerd/certs.d"
    source: measured on 1.6.20, 1.7.24, 2.1.9, 2.3.4; containerd#12415, containerd#12808
    """
    sections = list(registries(file))
    if not sections and "imports" not in file.values and _has_hosts(context):
        # Nobody wrote a registry section, but somebody wrote hosts.toml.
        plugin = next((section for section in _SECTIONS if file.table(*section)), _SECTIONS[0])
        sections = [(*plugin, "registry")]
    for section in sections:
        if config_path_of(file, section) or file.table(*section, "mirrors"):
            continue
        without = context.containerd.default_config_path == "none"
        if without or _pulled_by_transfer_service(file, section, context.containerd):
            logins = file.table(*section, "configs").values()
            conflict = any(isinstance(values, dict) and "tls" in values for values in logins)
            where = (*section, "config_path")
            add = AddKey(where, "/etc/containerd/certs.d")
            possible = not conflict and file.get(*where) is None
            possible = possible and (section[1] == "cri") == (file.get("version") in {None, 1})
            what = "config_path is not set: certs.d is not read"
            yield Hit(file.at(*section), what, edits=(add,) if possible else ())


def _has_hosts(context: RuleContext) -> bool:
    return next(context.project.of_kind(Kind.HOSTS, TomlFile), None) is not None


@rules("PPT009", "error", by="containerd", fixable=True)
def other_version(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Section of another configuration version.

    why: version 1 (or none) uses plugins.cri, version 2 io.containerd.grpc.v1.cri, version 3
        io.containerd.cri.v1.images. Releases differ in which other sections they read, and 2.0 to
        2.2 read nothing of version 1: the rest has no effect
    fix: write version = 2 and io.containerd.grpc.v1.cri, which every release reads
    source: measured on 1.6.20 to 2.3.4; containerd docs/cri/config.md, docs/PLUGINS.md
    """
    if not _is_excerpt(file):
        yield from _unread_sections(file, context)


@rules("PPT017", "warning", by="containerd", fixable=True)
def excerpt(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Excerpt of a version 2 file, without its version.

    why: on its own it is a version 1 file, in which these releases read plugins.cri and nothing of
        this. As part of a file that begins with version = 2 it is correct
    fix: add version = 2 as the first line, unless the complete file has it
    source: measured on 1.6.20 to 2.3.4; containerd docs/cri/config.md, docs/PLUGINS.md
    """
    if _is_excerpt(file):
        yield from _unread_sections(file, context)


def _is_excerpt(file: TomlFile) -> bool:
    """Whether the file may well be a part of one: no version, and the registry section alone, under
    a name that only files of version 2 and 3 have."""
    plugins = file.table("plugins")
    alone = all(isinstance(p, dict) and list(p) == ["registry"] for p in plugins.values())
    return list(file.values) == ["plugins"] and alone and "cri" not in plugins


def _unread_sections(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    version = file.get("version")
    if not _is_version(version) or _probed(version, "", context.containerd) != "ignored":
        return
    said = f"version {version}" if version is not None else "no version, which means 1"
    for section in registries(file):
        fate = _probed(version, section[1], context.containerd)
        if fate != "read":
            ends = "is not read" if fate == "ignored" else f"keeps containerd from starting: {fate}"
            what = f"{section[1]} {ends} in a file with {said}"
            yield Hit(file.at(*section), what, edits=_as_version_2(file, section))


def _as_version_2(file: TomlFile, section: tuple[str, ...]) -> tuple[Edit, ...]:
    """The version of the section, which every release reads, where all other plugins are named in
    its way too."""
    names = file.table("plugins")
    uniform = all(name.startswith("io.containerd.") for name in names)
    if section[1] != "io.containerd.grpc.v1.cri" or not uniform or file.get("version") == 3:
        return ()
    if "version" not in file.values:
        return (AddKey(("version",), 2),)
    return (SetValue(("version",), 2),)


@rules("PPT010", "error", by="containerd")
def version_too_new(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Configuration version that the release does not support.

    why: containerd does not start: 1.x supports versions up to 2 (before 1.6.32 and 1.7.17 it reads
        a higher one as 2), 2.0 to 2.2 up to 3, 2.3 up to 4
    fix: write version = 2
    source: measured on 1.6.20 to 2.3.4; containerd cmd/containerd/server/config
    """
    version = file.get("version")
    if version is None or not _is_version(version):
        return
    if _probed(version, "", context.containerd) != "ignored":
        yield Hit(file.at("version"), f"unsupported version {version}")


@rules("PPT012", "warning", fixable=True)
def unknown_key(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Unknown key in the registry section.

    why: it has no effect
    fix: valid keys are config_path, mirrors, configs, auths and headers
    source: containerd docs/cri/registry.md
    """
    for section in registries(file):
        for key in file.table(*section):
            if key not in _KEYS:
                near = nearest(key, _KEYS)
                edits = (RenameKey((*section, key), near),) if near else ()
                fix = f"did you mean {near}?" if near else ""
                yield Hit(file.at(*section, key), f"unknown key {quoted(key)}", fix, edits)


@rules("PPT013", "error", fixable=True)
def path_too_deep(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """config_path points too deep.

    why: it is the directory that contains the directories of the registries, not the directory of
        one registry, and not a file
    fix: name the parent directory, usually /etc/containerd/certs.d
    source: containerd docs/hosts.md
    """
    for section in registries(file):
        where = (*section, "config_path")
        for path in config_path_of(file, section).split(":"):
            parent, name = posixpath.split(path.rstrip("/"))
            deep = name == "hosts.toml" or posixpath.basename(parent) == "certs.d"
            if deep:
                top = parent if name != "hosts.toml" else posixpath.dirname(parent)
                edits = (SetValue(where, top),) if config_path_of(file, section) == path else ()
                yield Hit(
                    file.at(*where), f"{quoted(path)} is the directory of one registry", edits=edits
                )


@rules("PPT016", "error", by="containerd")
def switched_off(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """CRI plugin is disabled.

    why: kubelet reports unknown service runtime.v1, and the registry settings of this file have no
        effect; this is the default of Docker's containerd packages
    fix: remove the plugin from disabled_plugins, and restart containerd
    source: https://kubernetes.io/docs/setup/production-environment/container-runtimes/#containerd;
        containerd docs/PLUGINS.md
    """
    names = file.get("disabled_plugins")
    meant = any(registries(file)) or _has_hosts(context)
    for name in names if isinstance(names, list) and meant else ():
        if name in {section for _, section in _SECTIONS} and _is_off(
            file.get("version"), name, context.containerd
        ):
            yield Hit(file.at("disabled_plugins"), f"{quoted(name)} is disabled")
            return


@cache
def _is_off(version: object, name: str, release: Release) -> bool:
    """Whether *release* loads no CRI plugin where a file with this ``version`` disables *name*."""
    from harness.nodes.models.containerd.config_toml import InvalidConfig, parse_config_toml

    text = "" if version is None else f"version = {version}\n"
    try:
        parse_config_toml(f'{text}disabled_plugins = ["{name}"]\n', release)
    except InvalidConfig as error:
        return not error.stops_containerd
    return False
