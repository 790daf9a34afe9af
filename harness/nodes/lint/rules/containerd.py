"""config.toml: containerd's registry section, its mirrors and its logins."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import cache

from harness.nodes.lint.documents import TomlFile, TomlTable
from harness.nodes.lint.finding import Edit, Hit, KeyEdit, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import RuleContext, Rules, misspelt
from harness.nodes.models.containerd.releases import Release

rules = Rules(Kind.CONTAINERD)

_PLUGINS = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "cri")
_KEYS = ("config_path", "mirrors", "configs", "auths", "headers")


class _Section(TomlTable):
    """A registry section, under any name of the plugin."""

    @property
    def plugin(self) -> str:
        return str(self.path[1])

    @property
    def config_path(self) -> str:
        """Empty if it is missing or not a string."""
        return self.string("config_path")

    def pulled_by_transfer_service(self, release: Release) -> bool:
        """The transfer service takes ``config_path`` as the name of one directory."""
        from harness.nodes.models.containerd.config_toml import local_puller

        images = self.file.table(*self.path[:-1])
        return release.transfer_service and local_puller(images, self.values, release) is None


def _sections(file: TomlFile, context: object = None) -> Iterator[_Section]:
    found = (_Section(file, ("plugins", plugin, "registry")) for plugin in _PLUGINS)
    return (section for section in found if section.values)


@cache
def _probed(version: object, added: str, release: Release) -> str:
    """What *release* makes of a file with this ``version`` (None: none) and the text *added*:
    ``read`` or ``ignored`` for the registry section that it may have, ``off`` if it disables the
    CRI plugin, or why containerd does not start."""
    from harness.nodes.models.containerd.config_files import InvalidConfig
    from harness.nodes.models.containerd.config_toml import parse_config_toml

    text = "" if version is None else f"version = {version}\n"
    try:
        config = parse_config_toml(text + added, release)
    except InvalidConfig as error:
        return error.reason if error.stops_containerd else "off"
    return "read" if config.config_path == "/probe" else "ignored"


def _version(file: TomlFile) -> object:
    """``version``; None if it is missing, and ``invalid`` if it is not a number."""
    version = file.get("version")
    return version if version is None or type(version) is int else "invalid"


def _is_supported(version: object, release: Release) -> bool:
    return version != "invalid" and _probed(version, "", release) == "ignored"


@rules("PPT003", "PPT008", by="containerd")
def config_path(file: TomlFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    release, sections = context.containerd, list(_sections(file))
    if not sections and "imports" not in file.values and _has_hosts(context):
        # There is a hosts.toml, but no registry section.
        plugin = next((p for p in _PLUGINS if file.table("plugins", p)), _PLUGINS[0])
        sections = [_Section(file, ("plugins", plugin, "registry"))]
    for section in sections:
        path, where = section.config_path, (*section.path, "config_path")
        as_one = section.pulled_by_transfer_service(release)
        if ":" in path and as_one:
            # dockerd's directory is part of containerd's default; any other may be needed.
            first, _, others = path.partition(":")
            edits: list[Edit] = [KeyEdit("set", where, first)] * (others == "/etc/docker/certs.d")
            what = f"{quoted(path)} is taken as one directory"
            yield "PPT003", section.hit("config_path", what, *edits)
        if (
            path
            or section.table("mirrors")
            or not (release.default_config_path == "none" or as_one)
        ):
            continue
        logins = section.table("configs").values()
        conflict = any(isinstance(values, dict) and "tls" in values for values in logins)
        possible = not conflict and section.get("config_path") is None
        possible = possible and (section.plugin == "cri") == (_version(file) in (None, 1))
        edits = [KeyEdit("add", where, "/etc/containerd/certs.d")] * possible
        yield "PPT008", section.hit("", "config_path is not set: certs.d is not read", *edits)


def _has_hosts(context: RuleContext) -> bool:
    return next(context.project.of_kind(Kind.HOSTS, TomlFile), None) is not None


@rules("PPT009", "PPT017", by="containerd")
def unread_section(file: TomlFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    version = _version(file)
    if not _is_supported(version, context.containerd):
        return
    said = f"version {version}" if version is not None else "no version, which means 1"
    for section in _sections(file):
        probe = f'[plugins."{section.plugin}".registry]\nconfig_path = "/probe"\n'
        effect = _probed(version, probe, context.containerd)
        if effect != "read":
            ignored, stops = "is not read", f"keeps containerd from starting: {effect}"
            ends = ignored if effect == "ignored" else stops
            what = f"{section.plugin} {ends} in a file with {said}"
            rule_id = "PPT017" if _is_excerpt(file) else "PPT009"
            yield rule_id, section.hit("", what, *_as_version_2(section))


def _is_excerpt(file: TomlFile) -> bool:
    """Whether the file may be a part of another: no version, and only the registry section, under a
    name of versions 2 and 3."""
    plugins = file.table("plugins")
    alone = all(isinstance(p, dict) and list(p) == ["registry"] for p in plugins.values())
    return list(file.values) == ["plugins"] and alone and "cri" not in plugins


def _as_version_2(section: _Section) -> tuple[Edit, ...]:
    """The edit that sets version 2, which every release reads, if all plugins have names of version
    2."""
    file, version = section.file, _version(section.file)
    uniform = all(name.startswith("io.containerd.") for name in file.table("plugins"))
    if section.plugin != "io.containerd.grpc.v1.cri" or not uniform or version == 3:
        return ()
    return (
        KeyEdit("add", ("version",), 2) if version is None else KeyEdit("set", ("version",), 2),
    )


@rules("PPT010", "PPT016", by="containerd")
def whole_file(file: TomlFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    version, release = _version(file), context.containerd
    if version not in {None, "invalid"} and not _is_supported(version, release):
        yield "PPT010", file.hit("version", f"unsupported version {version}")
    meant = version != "invalid" and (any(_sections(file)) or _has_hosts(context))
    for name in file.list("disabled_plugins") if meant else ():
        off = f'disabled_plugins = ["{name}"]\n'
        if name in _PLUGINS and _probed(version, off, release) == "off":
            yield "PPT016", file.hit("disabled_plugins", f"{quoted(name)} is disabled")
            return


@rules("PPT002", each=_sections, by="containerd")
def legacy_tls(section: _Section, context: RuleContext) -> Iterator[Hit]:
    for host, values in section.table("configs").items():
        if isinstance(values, dict) and "tls" in values:
            where, said = (*section.path, "configs", host, "tls"), f"tls of {quoted(host)}"
            if not context.containerd.legacy_tls:
                yield section.file.hit(where, f"{said} has no effect")
            elif section.config_path:
                yield section.file.hit(where, f"{said} cannot be set beside config_path")


@rules("PPT001", "PPT011", "PPT012", "PPT013", "PPT015", each=_sections)
def section(section: _Section, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    file, given = section.file, section.config_path
    if section.table("mirrors") and given:
        yield "PPT001", section.hit("mirrors", "mirrors cannot be set beside config_path")
    elif section.table("mirrors"):
        yield "PPT011", section.hit("mirrors", "mirrors is deprecated")
    for key in section.values:
        if key not in _KEYS:
            at = (*section.path, key)
            yield "PPT012", misspelt(file.at(*at), "unknown key", key, _KEYS, rename=at)
    for path in given.split(":"):
        parent, name = posixpath.split(path.rstrip("/"))
        if name == "hosts.toml" or posixpath.basename(parent) == "certs.d":
            top = parent if name != "hosts.toml" else posixpath.dirname(parent)
            edits = [KeyEdit("set", (*section.path, "config_path"), top)] * (given == path)
            what = f"{quoted(path)} is the directory of one registry"
            yield "PPT013", section.hit("config_path", what, *edits)
    for name in section.table("mirrors"):
        where = (*section.path, "mirrors", name, "endpoint")
        for url in file.list(*where):
            if isinstance(url, str) and "://" not in url:
                yield "PPT015", file.hit(where, f"{quoted(url)} has no scheme")


@rules("PPT004", "PPT005", "PPT006", "PPT007", "PPT014", each=_sections)
def login(section: _Section, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    contacted, file = context.project.contacted, section.file
    for host, values in section.table("configs").items():
        if not isinstance(values, dict) or "auth" not in values:
            continue
        where = (*section.path, "configs", host)
        auth, said = file.table(*where, "auth"), quoted(host)
        half = bool(auth.get("username")) != bool(auth.get("password")) or not auth
        if half and not auth.get("auth") and not auth.get("identitytoken"):
            yield "PPT014", file.hit((*where, "auth"), f"the login for {said} is incomplete")
        ports = sorted(c for c in contacted if c.startswith(f"{host}:"))
        impossible = "." not in host and ":" not in host and host != "localhost"
        if ports and host not in contacted:
            edits = [KeyEdit("rename", where, ports[0])] if len(ports) == 1 else []
            what = f"containerd contacts {said} as {ports[0]}"
            yield "PPT005", file.hit(where, what, *edits, fix=f"write {ports[0]}")
        if "://" in host:
            plain = host.partition("://")[2].partition("/")[0]
            edit = KeyEdit("rename", where, plain)
            yield "PPT007", file.hit(where, f"{said} is a URL", edit, fix=f"write {plain}")
        elif host in contacted:
            continue
        elif host in {"docker.io", "index.docker.io"}:
            edit = KeyEdit("rename", where, "registry-1.docker.io")
            yield "PPT006", file.hit(where, f"containerd never contacts {said}", edit)
        elif not ports and (host in context.project.named or impossible):
            yield "PPT004", file.hit(where, f"containerd never contacts {said}")
