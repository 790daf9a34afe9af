"""config.toml: the registry section of containerd."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.lint.documents import TomlFile
from harness.lint.finding import AddKey, Edit, RenameKey, SetValue
from harness.lint.rule import Hit, Kind, Looked, Rules
from harness.lint.words import nearest, quoted

__all__ = ["rules"]

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


def _read_name(file: TomlFile, looked: Looked) -> str:
    """The plugin's name for the version of this file."""
    version = file.get("version")
    version = version if isinstance(version, int) else 1
    if version >= 3 and looked.containerd.config_version >= 3:
        return "io.containerd.cri.v1.images"
    return "cri" if version < 2 else "io.containerd.grpc.v1.cri"


def _config_path(file: TomlFile, section: tuple[str, ...]) -> str:
    value = file.get(*section, "config_path")
    return value if isinstance(value, str) else ""


@rules(
    "PPT001",
    "config_path together with mirrors",
    severity="error",
    why="the CRI plugin does not load at all: kubelet is told unknown service runtime.v1",
    fix="move the mirrors to certs.d and remove them here",
    reference=f"{_DOCS}; measured on 1.6.20, 1.7.24, 2.1.9",
)
def path_and_mirrors(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    for section in registries(file):
        if _config_path(file, section) and file.table(*section, "mirrors"):
            yield Hit(file.at(*section, "mirrors"), "mirrors cannot be set beside config_path")


@rules(
    "PPT002",
    "configs.HOST.tls",
    severity="error",
    by="containerd",
    why="beside config_path the CRI plugin of 1.x does not load; 2.x ignores the section",
    fix="set ca, client and skip_verify in hosts.toml",
    reference=f"{_DOCS}; removed in containerd 2.0",
)
def legacy_tls(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    for section in registries(file):
        for host, values in file.table(*section, "configs").items():
            if not isinstance(values, dict) or "tls" not in values:
                continue
            spot = file.at(*section, "configs", host, "tls")
            if not looked.containerd.legacy_tls:
                yield Hit(spot, f"tls of {quoted(host)} does nothing")
            elif _config_path(file, section):
                yield Hit(spot, f"tls of {quoted(host)} cannot be set beside config_path")


@rules(
    "PPT003",
    "config_path with several directories",
    severity="error",
    by="containerd",
    fixable=True,
    why="from 2.1 on the transfer service takes the list for the name of one directory: nothing "
    "is found, "
    "and nothing is logged",
    fix="name one directory",
    reference="containerd#12415, containerd#12808; measured on 2.1.9",
)
def several_directories(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    if not looked.containerd.transfer_service:
        return
    for section in registries(file):
        path = _config_path(file, section)
        local = any(file.get(*section, key) for key in ("mirrors", "configs", "auths"))
        local = local or file.get(*section[:-1], "use_local_image_pull") is True
        if ":" in path and not local:
            where = (*section, "config_path")
            yield Hit(
                file.at(*where),
                f"{quoted(path)} is looked for as one directory",
                edits=(SetValue(where, path.partition(":")[0]),),
            )


@rules(
    "PPT004",
    "A login for a name that is not contacted",
    severity="error",
    why="configs.HOST.auth is for the host and port that are contacted, not for the directory "
    "in certs.d",
    fix="write the host as in the URL of hosts.toml, with its port",
    reference="measured on 1.6.20 to 2.3.4",
)
def login_for_a_directory(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    named, contacted = set(looked.project.host_directories.values()), looked.project.contacted
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
            yield Hit(file.at(*where), f"{quoted(host)} is not a host that is contacted")


@rules(
    "PPT005",
    "A login without the port",
    severity="error",
    fixable=True,
    why="the name is compared with the host that is contacted, port included",
    fix="write the port",
    reference="measured on 1.6.20 to 2.3.4",
)
def login_without_port(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    contacted = looked.project.contacted
    for where, host in _logins(file):
        ports = sorted(c for c in contacted if c.startswith(f"{host}:"))
        if ports and host not in contacted:
            edits = (RenameKey(where, ports[0]),) if len(ports) == 1 else ()
            yield Hit(
                file.at(*where),
                f"{quoted(host)} is contacted as {ports[0]}",
                f"write {ports[0]}",
                edits,
            )


@rules(
    "PPT006",
    "A login for docker.io",
    severity="error",
    fixable=True,
    why="Docker Hub is contacted as registry-1.docker.io, and the login is looked up by that name",
    fix="write registry-1.docker.io",
    reference="measured on 1.6.20 to 2.3.4",
)
def login_for_hub(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    for where, host in _logins(file):
        if host in {"docker.io", "index.docker.io"} and host not in looked.project.contacted:
            yield Hit(
                file.at(*where),
                f"{quoted(host)} is never contacted",
                edits=(RenameKey(where, "registry-1.docker.io"),),
            )


@rules(
    "PPT007",
    "A login for a URL",
    severity="error",
    fixable=True,
    why="the name is compared with host and port, so that a scheme or a path never matches",
    fix="write HOST or HOST:PORT",
    reference="measured on 1.6.20 to 2.3.4",
)
def login_for_a_url(file: TomlFile, looked: Looked) -> Iterator[Hit]:
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


@rules(
    "PPT008",
    "config_path is not set",
    severity="warning",
    by="containerd",
    fixable=True,
    why="before 2.2 no hosts.toml is read then, wherever it lies",
    fix='set config_path = "/etc/containerd/certs.d"',
    reference="measured on 1.6.20, 1.7.24, 2.1.9; containerd#12415",
)
def no_config_path(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    if looked.containerd.default_config_path != "none":
        return
    for section in registries(file):
        if not _config_path(file, section) and not file.table(*section, "mirrors"):
            logins = file.table(*section, "configs").values()
            conflict = any(isinstance(values, dict) and "tls" in values for values in logins)
            where = (*section, "config_path")
            add = AddKey(where, "/etc/containerd/certs.d")
            possible = not conflict and file.get(*where) is None
            what = "no config_path: certs.d is not read"
            yield Hit(file.at(*section), what, edits=(add,) if possible else ())


@rules(
    "PPT009",
    "The section of another version of the file",
    severity="error",
    by="containerd",
    fixable=True,
    why="version 1 (or none) reads plugins.cri, version 2 io.containerd.grpc.v1.cri, version 3 "
    "io.containerd.cri.v1.images; any other section does nothing",
    fix="write the version that the section is of, in the first line",
    reference="containerd docs/cri/config.md; docs/PLUGINS.md",
)
def other_version(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    version = file.get("version")
    if isinstance(version, int) and version > looked.containerd.config_version:
        return
    read = _read_name(file, looked)
    for section in registries(file):
        if section[1] != read:
            said = f"version {version}" if version is not None else "no version, which means 1,"
            what = f"{said} reads {read}, not {section[1]}"
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


@rules(
    "PPT010",
    "A version that the release does not know",
    severity="error",
    by="containerd",
    why="containerd does not start",
    fix="write version = 2",
    reference="measured; containerd 1.x reads up to 2, 2.x up to 3",
)
def version_too_new(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    version, most = file.get("version"), looked.containerd.config_version
    if isinstance(version, int) and version > most:
        yield Hit(file.at("version"), f"version {version} is not known")


@rules(
    "PPT011",
    "mirrors in config.toml",
    severity="info",
    why="deprecated since 1.5, read only at a restart, and without the settings of hosts.toml",
    fix="write hosts.toml files and set config_path",
    reference=_DOCS,
)
def deprecated_mirrors(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    for section in registries(file):
        if file.table(*section, "mirrors") and not _config_path(file, section):
            yield Hit(file.at(*section, "mirrors"), "mirrors is deprecated")


@rules(
    "PPT012",
    "An unknown key of the registry section",
    severity="warning",
    fixable=True,
    why="it does nothing",
    fix="known are config_path, mirrors, configs, auths and headers",
    reference=_DOCS,
)
def unknown_key(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    for section in registries(file):
        for key in file.table(*section):
            if key not in _KEYS:
                near = nearest(key, _KEYS)
                edits = (RenameKey((*section, key), near),) if near else ()
                fix = f"did you mean {near}?" if near else ""
                yield Hit(file.at(*section, key), f"unknown key {quoted(key)}", fix, edits)


@rules(
    "PPT013",
    "config_path leads too deep",
    severity="error",
    fixable=True,
    why="it is the directory of the registries' directories, not the one of a registry and no file",
    fix="name the directory above, usually /etc/containerd/certs.d",
    reference="containerd docs/hosts.md",
)
def path_too_deep(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    for section in registries(file):
        where = (*section, "config_path")
        for path in _config_path(file, section).split(":"):
            parent, name = posixpath.split(path.rstrip("/"))
            deep = name == "hosts.toml" or posixpath.basename(parent) == "certs.d"
            if deep:
                top = parent if name != "hosts.toml" else posixpath.dirname(parent)
                edits = (SetValue(where, top),) if _config_path(file, section) == path else ()
                yield Hit(file.at(*where), f"{quoted(path)} is of one registry", edits=edits)


@rules(
    "PPT014",
    "Half a login",
    severity="error",
    why="without a password, containerd has no credential to answer with",
    fix="set username and password, or auth",
    reference="measured on 1.6.20 to 2.3.4",
)
def half_a_login(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    for where, host in _logins(file):
        auth = file.table(*where, "auth")
        half = bool(auth.get("username")) != bool(auth.get("password")) or not auth
        if half and not auth.get("auth") and not auth.get("identitytoken"):
            yield Hit(file.at(*where, "auth"), f"the login for {quoted(host)} is incomplete")


@rules(
    "PPT015",
    "A mirror's endpoint without a scheme",
    severity="error",
    why="an endpoint is a URL: without a scheme no request can be made",
    fix="write http:// or https:// in front",
    reference=_DOCS,
)
def endpoint_without_scheme(file: TomlFile, looked: Looked) -> Iterator[Hit]:
    for section in registries(file):
        for name in file.table(*section, "mirrors"):
            endpoints = file.get(*section, "mirrors", name, "endpoint")
            for url in endpoints if isinstance(endpoints, list) else ():
                if isinstance(url, str) and "://" not in url:
                    where = (*section, "mirrors", name, "endpoint")
                    yield Hit(file.at(*where), f"{quoted(url)} has no scheme")
