"""config.toml: containerd's registry section, its mirrors and its logins."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import AddKey, Edit, RenameKey, SetValue, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules, misspelt

if TYPE_CHECKING:
    from harness.nodes.models.containerd.releases import Release

__all__ = ["config_path_of", "registries", "rules"]

rules = Rules(Kind.CONTAINERD)

_SECTIONS = (
    ("plugins", "io.containerd.grpc.v1.cri"),
    ("plugins", "io.containerd.cri.v1.images"),
    ("plugins", "cri"),
)
_KEYS = ("config_path", "mirrors", "configs", "auths", "headers")


def registries(file: TomlFile) -> Iterator[tuple[str, ...]]:
    """The paths of the registry sections in the file, under any name of the plugin."""
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
    """The transfer service takes ``config_path`` as the name of one directory."""
    from harness.nodes.models.containerd.config_toml import local_puller

    images, registry = file.table(*section[:-1]), file.table(*section)
    return release.transfer_service and local_puller(images, registry, release) is None


def config_path_of(file: TomlFile, section: tuple[str, ...]) -> str:
    """``config_path`` of a registry section; empty if it is missing or not a string."""
    value = file.get(*section, "config_path")
    return value if isinstance(value, str) else ""


@rules("PPT003", by="containerd", fixable=True)
def several_directories(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for section in registries(file):
        path = config_path_of(file, section)
        if ":" in path and _pulled_by_transfer_service(file, section, context.containerd):
            where = (*section, "config_path")
            what = f"{quoted(path)} is taken as one directory"
            # dockerd's directory is part of containerd's default; any other may be needed.
            first, _, others = path.partition(":")
            edits = (SetValue(where, first),) if others == "/etc/docker/certs.d" else ()
            yield Hit(file.at(*where), what, edits=edits)


@rules("PPT008", by="containerd", fixable=True)
def no_config_path(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    sections = list(registries(file))
    if not sections and "imports" not in file.values and _has_hosts(context):
        # There is a hosts.toml, but no registry section.
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


@rules("PPT009", by="containerd", fixable=True)
def other_version(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if not _is_excerpt(file):
        yield from _unread_sections(file, context)


@rules("PPT017", by="containerd", fixable=True)
def excerpt(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if _is_excerpt(file):
        yield from _unread_sections(file, context)


def _is_excerpt(file: TomlFile) -> bool:
    """Whether the file may be a part of another: no version, and only the registry section, under a
    name of versions 2 and 3."""
    plugins = file.table("plugins")
    alone = all(isinstance(p, dict) and list(p) == ["registry"] for p in plugins.values())
    return list(file.values) == ["plugins"] and alone and "cri" not in plugins


def _unread_sections(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    version = file.get("version")
    if not _is_version(version) or _probed(version, "", context.containerd) != "ignored":
        return
    said = f"version {version}" if version is not None else "no version, which means 1"
    for section in registries(file):
        effect = _probed(version, section[1], context.containerd)
        if effect != "read":
            ends = (
                "is not read"
                if effect == "ignored"
                else f"keeps containerd from starting: {effect}"
            )
            what = f"{section[1]} {ends} in a file with {said}"
            yield Hit(file.at(*section), what, edits=_as_version_2(file, section))


def _as_version_2(file: TomlFile, section: tuple[str, ...]) -> tuple[Edit, ...]:
    """The edit that sets version 2, which every release reads, if all plugins have names of version
    2."""
    names = file.table("plugins")
    uniform = all(name.startswith("io.containerd.") for name in names)
    if section[1] != "io.containerd.grpc.v1.cri" or not uniform or file.get("version") == 3:
        return ()
    if "version" not in file.values:
        return (AddKey(("version",), 2),)
    return (SetValue(("version",), 2),)


@rules("PPT010", by="containerd")
def version_too_new(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    version = file.get("version")
    if version is None or not _is_version(version):
        return
    if _probed(version, "", context.containerd) != "ignored":
        yield Hit(file.at("version"), f"unsupported version {version}")


@rules("PPT012", fixable=True)
def unknown_key(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for section in registries(file):
        for key in file.table(*section):
            if key not in _KEYS:
                where = (*section, key)
                yield misspelt(file.at(*where), "unknown key", key, _KEYS, rename=where)


@rules("PPT013", fixable=True)
def path_too_deep(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
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


@rules("PPT016", by="containerd")
def switched_off(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
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
    """Whether *name* in a file with this ``version`` disables the CRI plugin of *release*."""
    from harness.nodes.models.containerd.config_toml import InvalidConfig, parse_config_toml

    text = "" if version is None else f"version = {version}\n"
    try:
        parse_config_toml(f'{text}disabled_plugins = ["{name}"]\n', release)
    except InvalidConfig as error:
        return not error.stops_containerd
    return False


@rules("PPT001")
def path_and_mirrors(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for section in registries(file):
        if config_path_of(file, section) and file.table(*section, "mirrors"):
            yield Hit(file.at(*section, "mirrors"), "mirrors cannot be set beside config_path")


@rules("PPT002", by="containerd")
def legacy_tls(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for section in registries(file):
        for host, values in file.table(*section, "configs").items():
            if not isinstance(values, dict) or "tls" not in values:
                continue
            spot = file.at(*section, "configs", host, "tls")
            if not context.containerd.legacy_tls:
                yield Hit(spot, f"tls of {quoted(host)} has no effect")
            elif config_path_of(file, section):
                yield Hit(spot, f"tls of {quoted(host)} cannot be set beside config_path")


@rules("PPT011")
def deprecated_mirrors(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for section in registries(file):
        if file.table(*section, "mirrors") and not config_path_of(file, section):
            yield Hit(file.at(*section, "mirrors"), "mirrors is deprecated")


@rules("PPT015")
def endpoint_without_scheme(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for section in registries(file):
        for name in file.table(*section, "mirrors"):
            endpoints = file.get(*section, "mirrors", name, "endpoint")
            for url in endpoints if isinstance(endpoints, list) else ():
                if isinstance(url, str) and "://" not in url:
                    where = (*section, "mirrors", name, "endpoint")
                    yield Hit(file.at(*where), f"{quoted(url)} has no scheme")


@rules("PPT004")
def login_for_a_directory(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    named, contacted = context.project.named, context.project.contacted
    for where, host in _logins(file):
        lacks_port = any(c.startswith(f"{host}:") for c in contacted)
        impossible = "." not in host and ":" not in host and host != "localhost"
        if (
            "://" in host
            or host in contacted
            or host in {"docker.io", "index.docker.io"}
            or lacks_port
        ):
            continue
        if host in named or impossible:
            yield Hit(file.at(*where), f"containerd never contacts {quoted(host)}")


@rules("PPT005", fixable=True)
def login_without_port(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    contacted = context.project.contacted
    for where, host in _logins(file):
        ports = sorted(c for c in contacted if c.startswith(f"{host}:"))
        if ports and host not in contacted:
            edits = (RenameKey(where, ports[0]),) if len(ports) == 1 else ()
            yield Hit(
                file.at(*where),
                f"containerd contacts {quoted(host)} as {ports[0]}",
                f"write {ports[0]}",
                edits,
            )


@rules("PPT006", fixable=True)
def login_for_hub(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for where, host in _logins(file):
        if host in {"docker.io", "index.docker.io"} and host not in context.project.contacted:
            yield Hit(
                file.at(*where),
                f"containerd never contacts {quoted(host)}",
                edits=(RenameKey(where, "registry-1.docker.io"),),
            )


@rules("PPT007", fixable=True)
def login_for_a_url(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for where, host in _logins(file):
        if "://" in host:
            plain = host.partition("://")[2].partition("/")[0]
            yield Hit(
                file.at(*where),
                f"{quoted(host)} is a URL",
                f"write {plain}",
                (RenameKey(where, plain),),
            )


def _logins(file: TomlFile) -> Iterator[tuple[tuple[str, ...], str]]:
    for section in registries(file):
        for host, values in file.table(*section, "configs").items():
            if isinstance(values, dict) and "auth" in values:
                yield (*section, "configs", host), host


@rules("PPT014")
def half_a_login(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for where, host in _logins(file):
        auth = file.table(*where, "auth")
        half = bool(auth.get("username")) != bool(auth.get("password")) or not auth
        if half and not auth.get("auth") and not auth.get("identitytoken"):
            yield Hit(file.at(*where, "auth"), f"the login for {quoted(host)} is incomplete")
