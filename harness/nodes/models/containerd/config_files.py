"""``config.toml`` with all its imports, merged as each release does it.

Order: the file itself, then its imports, then their imports; each file once. Up to 1.7 the last
file with a section of a plugin replaces the whole section; from 2.0 on sections are merged key by
key. Sections of older formats are migrated, in 2.0 to 2.2 by the version in the *last* file, which
can leave sections unread.

Rules: containerd's docs/man/containerd-config.toml.5.md; LoadConfig, resolveImports and mergeConfig
of its server configuration (1.6.20, 1.7.24, 2.1.9 and 2.3.4 were run, the releases in between
read); configMigration of plugins/cri/images.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.files import FileProblem, FileTree, InvalidPattern, glob, has_meta
from harness.nodes.models.go_url import clean_path
from harness.nodes.models.toml_statements import InvalidTOML, is_a, read_toml, statements

CONFIG_FILE = "/etc/containerd/config.toml"
GRPC_CRI = "io.containerd.grpc.v1.cri"
IMAGES = "io.containerd.cri.v1.images"
MOST_FILES = 200
"""Limit of imported files."""
_WORKING_DIRECTORY = "/"
"""The working directory under systemd; patterns of older releases start there."""
_MIGRATED = ("registry", "max_concurrent_downloads", "image_pull_with_sync_fs")
_MIGRATED_FROM_CONTAINERD = ("disable_snapshot_annotations", "discard_unpacked_layers")


class InvalidConfig(FileProblem):
    """containerd, or only its CRI plugin, does not start."""

    def __init__(
        self,
        reason: str,
        line: int | None = None,
        file: str = CONFIG_FILE,
        *,
        stops_containerd: bool = True,
    ) -> None:
        super().__init__(reason, line, file)
        self.stops_containerd = stops_containerd


@dataclass(frozen=True)
class Configuration:
    """The configuration that the daemon uses."""

    version: int
    plugins: Mapping[str, Any]
    """By name, merged and migrated to the release's format."""
    disabled: tuple[str, ...]
    """``disabled_plugins``."""
    files: tuple[tuple[str, str], ...] = field(repr=False)
    """Path and text of every file, in the order in which they were merged."""

    def place(self, *path: str) -> tuple[str, int] | None:
        """File and line of the key that contains the parts *path*, in the file merged last."""
        for file, text in reversed(self.files):
            for statement in statements(text):
                own = statement.path
                if any(own[i : i + len(path)] == path for i in range(len(own) - len(path) + 1)):
                    return file, statement.line
        return None

    def invalid(self, reason: str, *path: str, stops_containerd: bool = True) -> InvalidConfig:
        """The error for the key that contains *path*; without a line if there is none."""
        file, line = self.place(*path) or (self.files[0][0], None)
        return InvalidConfig(reason, line, file, stops_containerd=stops_containerd)


NO_FILES = Configuration(0, {}, (), ())


def read_configuration(tree: FileTree, release: Release, path: str = CONFIG_FILE) -> Configuration:
    """The configuration that begins with the file at *path*. Raises :class:`InvalidConfig`."""
    files: dict[str, str] = {}
    pending: list[tuple[str, str, int | None]] = [(path, "", None)]
    merged: dict[str, Any] = {}
    disabled: list[str] = []
    own_version = version = release.config_version if release.migrates_config != "never" else 1
    of_main = 0
    while pending:
        (current, parent, line), *pending = pending
        if current in files:
            continue
        if len(files) >= MOST_FILES:
            raise InvalidConfig(f"more than {MOST_FILES} files are imported", line, parent)
        file = _File(current, _text(tree, current, parent or path, line))
        files[current] = file.text
        named = max(file.get("version", "a number", 0), 0)
        plugins = file.get("plugins", "a table", {})
        names = file.get("disabled_plugins", "a list of strings", [])
        if release.migrates_config == "each file":
            of_main = of_main or named
            if named > of_main:
                reason = f"drop-in config version {named} higher than root config version {of_main}"
                raise file.invalid(reason, "version")
            plugins, names = _carried_over(plugins, names, named, own_version, release)
            named = max(named, own_version)
        elif release.migrates_config == "at the end" and named < 2:
            plugins, names, named = _renamed(plugins), [*map(_uri, names)], version
        if release.merges_sections:
            _merge_deeply(merged, plugins)
        else:
            merged |= plugins
        disabled += [name for name in names if name not in disabled]
        version = named or version
        pending += file.imports(tree, release)
    found = Configuration(version, merged, tuple(disabled), tuple(files.items()))
    _validate(found, release)
    if release.migrates_config == "at the end":
        merged, disabled = _carried_over(merged, disabled, version, own_version, release)
    return replace(found, plugins=merged, disabled=tuple(disabled))


# -- one file -----------------------------------------------------------------------------------
def _text(tree: FileTree, path: str, parent: str, line: int | None) -> str:
    try:
        return tree.read(path)
    except IsADirectoryError as error:
        raise InvalidConfig(str(error), line, parent) from None
    except OSError:
        raise InvalidConfig(f"open {path}: no such file or directory", line, parent) from None


class _File:
    """One file: typed look-ups, whose errors have the key's line."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        try:
            self._document = read_toml(text)
        except InvalidTOML as error:
            raise InvalidConfig(f"invalid TOML: {error.reason}", error.line, path) from None

    def get(self, key: str, kind: str, default: Any) -> Any:
        """The value of *key*, which must be of *kind* (see ``is_a``), or *default* if absent."""
        value = self._document.get(key, default)
        if not is_a(value, kind):
            raise self.invalid(f"`{key}` must be {kind}", key)
        return value

    def invalid(self, reason: str, key: str) -> InvalidConfig:
        """The error for the value of *key*."""
        return InvalidConfig(reason, self._line(key), self.path)

    def imports(self, tree: FileTree, release: Release) -> Iterator[tuple[str, str, int | None]]:
        """Path, importing file and line of each import, in order."""
        line, names = self._line("imports"), self.get("imports", "a list of strings", [])
        for pattern in imported_paths(names, self.path, release):
            try:
                found = glob(pattern, tree.names) if "*" in pattern else [pattern]
            except InvalidPattern:
                reason = f"syntax error in pattern {pattern!r} of `imports`"
                raise self.invalid(reason, "imports") from None
            yield from ((path, self.path, line) for path in found)

    def _line(self, key: str) -> int | None:
        return next((one.line for one in statements(self.text) if one.path[:1] == (key,)), None)


def version_of(document: Mapping[str, Any]) -> int:
    """The ``version`` of a valid file, 0 for none."""
    version: int = document.get("version", 0)
    return max(version, 0)


# -- imports ------------------------------------------------------------------------------------
def imported_paths(imports: Sequence[str], parent: str, release: Release) -> Iterator[str]:
    """The ``imports`` of the file *parent* as absolute paths, or patterns if they have a ``*``.

    Relative paths start at the file's directory. Patterns do so since 1.6.29 and 1.7.16; before,
    they start at the daemon's working directory.
    """
    for name in imports:
        here = "*" in name and release.import_patterns_from == "working directory"
        base = _WORKING_DIRECTORY if here else posixpath.dirname(parent)
        # Cleaning a path could change the meaning of brackets in a pattern.
        path = name if name.startswith("/") else f"{base.rstrip('/')}/{name}"
        yield path if here and has_meta(path) else clean_path(path)


# -- merging ------------------------------------------------------------------------------------
def _merge_deeply(to: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Like mergo with override: tables key by key, everything else replaced."""
    for key, value in changes.items():
        if isinstance(value, dict):
            before = to.get(key)
            to[key] = dict(before) if isinstance(before, dict) else {}
            _merge_deeply(to[key], value)
        else:
            to[key] = value


def _validate(found: Configuration, release: Release) -> None:
    """Raises :class:`InvalidConfig` if the daemon would not start with the merged files."""
    version, is_old = found.version, release.migrates_config == "never"
    if version > release.config_version and release.refuses_newer_config:
        known = f"which reads {release.config_version} or less"
        text = f"version {version} is not known to containerd {release.version}, {known}"
        raise found.invalid(text, "version")
    if is_old and version < 2:
        return
    for name in found.disabled:
        if not _is_uri(name, release):
            text = f'invalid disabled plugin URI "{name}" expect io.containerd.x.vx'
            raise found.invalid(text, "disabled_plugins")
    for name in found.plugins if is_old else ():
        if not _is_uri(name, release):
            text = f'invalid plugin key URI "{name}" expect io.containerd.x.vx'
            raise found.invalid(text, "plugins", name)


def _is_uri(name: str, release: Release) -> bool:
    if release.migrates_config != "never":
        return "." in name
    prefixed = name.startswith("io.containerd.") or not release.plugin_prefix
    return prefixed and name.count(".") >= 3


# -- older formats ------------------------------------------------------------------------------
def _uri(name: str) -> str:
    return GRPC_CRI if name == "cri" else name if "." in name else f"io.containerd.grpc.v1.{name}"


def _renamed(plugins: Mapping[str, Any]) -> dict[str, Any]:
    return {_uri(name): section for name, section in plugins.items()}


def _carried_over(
    plugins: Mapping[str, Any],
    disabled: Sequence[str],
    version: int,
    newest: int,
    release: Release,
) -> tuple[dict[str, Any], list[str]]:
    """*plugins* migrated from *version* to *newest*, in which the CRI plugin's image settings have
    their own section."""
    found, names = dict(plugins), list(disabled)
    if version < 2:
        found, names = _renamed(found), [*map(_uri, names)]
    source = found.get(GRPC_CRI)
    if version >= newest or not isinstance(source, dict):
        return found, names
    before = found.get(IMAGES, {})
    images = dict(before) if isinstance(before, dict) else {}
    images |= {key: source[key] for key in _MIGRATED if key in source}
    registry = images.get("registry")
    if (
        release.default_config_path == "until set"
        and isinstance(registry, dict)
        and registry.get("config_path") == ""
    ):
        images["registry"] = {k: v for k, v in registry.items() if k != "config_path"}
    containerd = source.get("containerd")
    if isinstance(containerd, dict) and "runtimes" in containerd:
        images |= {key: containerd[key] for key in _MIGRATED_FROM_CONTAINERD if key in containerd}
    return found | {IMAGES: images}, names
