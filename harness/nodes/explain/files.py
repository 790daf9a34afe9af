"""The files of one containerd: what is read from disk, and the path the model sees it under.

The model reads a node's /etc/containerd; files named on the command line take that place.
:meth:`ContainerdFiles.shown` maps a path of the model back to the file that was read.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from harness.nodes.explain.disk import (
    is_directory,
    listed,
    read_required,
    read_text,
    stays_below,
)
from harness.nodes.explain.explanation import BadInput, Diagnostic
from harness.nodes.models.containerd.certs_d import directory_names
from harness.nodes.models.containerd.config_files import (
    CONFIG_FILE,
    MOST_FILES,
    InvalidConfig,
    imported_paths,
)
from harness.nodes.models.containerd.config_toml import parse_config_toml
from harness.nodes.models.containerd.hosts_toml import InvalidHostsFile, parse_hosts_toml
from harness.nodes.models.containerd.planning import DEFAULT_CONFIG_PATH
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.files import FileLine, InvalidPattern, glob
from harness.nodes.models.go_url import clean_path
from harness.nodes.models.kubelet import KeyringEntry
from harness.nodes.models.toml_statements import InvalidTOML, read_toml

MOST_DIRECTORIES = 100
"""Directories searched for one pattern of ``imports``."""
_ETC_CONFIG = Path(CONFIG_FILE)


@dataclass
class ContainerdFiles:
    """The files that the model reads, by the paths that it sees."""

    config_toml: str | None = None
    """None for no file: the model then assumes config_path = /etc/containerd/certs.d."""
    config_file: str = CONFIG_FILE
    """Its path; relative imports start from its directory."""
    files: dict[str, str] = field(default_factory=dict)
    """hosts.toml, certificates and imported files by absolute path."""
    siblings: dict[str, str] = field(default_factory=dict)
    """hosts.toml of directories that are *not* used for the image, by the path shown to users."""
    unread_directory: str | None = None
    """A --certs-d that config.toml does not name."""
    read: list[str] = field(default_factory=list)
    keys: dict[str, str | None] = field(default_factory=dict)
    """The key file of each client certificate of hosts.toml, by the paths that the model sees."""
    _names: dict[str, str] = field(default_factory=dict)

    def map(self, known: str, real: Path) -> None:
        """Let the model see *real* as *known*."""
        self._names[known] = str(real)

    def shown(self, known: str) -> str:
        """The real path of what the model sees as *known*."""
        found = max((n for n in self._names if _is_below(known, n)), key=len, default=None)
        return known if found is None else str(Path(self._names[found] + known[len(found) :]))

    def place_of(self, known: str | None, line: int | None) -> FileLine | None:
        """A line of a file of the model as users know it; None without a file."""
        return None if known is None else FileLine(self.shown(known), line)

    def real(self, known: str) -> Path:
        """The file to read for what the model sees as *known*."""
        return Path(self.shown(known))

    def take(self, known: str, root: Path | None = None) -> str | None:
        """Read what the model sees as *known* into ``files``."""
        if known in self.files:
            return self.files[known]
        path = self.real(known)
        if root is not None:
            stays_below(path, root)
        text = read_text(path)
        if text is not None:
            self.files[known] = text
            self.read.append(str(path))
        return text


@dataclass(frozen=True, kw_only=True)
class ContainerdQuestion:
    """An image and everything that decides how containerd pulls it."""

    image: str
    release: Release
    files: ContainerdFiles
    ctr: Ctr | None = None
    """None for the CRI plugin."""
    of_pod: Sequence[KeyringEntry] = ()
    of_node: Sequence[KeyringEntry] = ()
    when: Sequence[str] = ()
    notes: tuple[Diagnostic, ...] = ()


def _is_below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def read_containerd_files(
    namespace: str,
    release: Release,
    certs_d: Path | None,
    config: Path | None,
    hosts_dir: str | None = None,
) -> ContainerdFiles:
    """Everything that a pull of an image of *namespace* may read.

    *certs_d* also replaces ctr's *hosts_dir*. Without *certs_d* and *config*, /etc/containerd is
    read. Raises :class:`BadInput`.
    """
    found = ContainerdFiles()
    roots: tuple[str, ...] = (DEFAULT_CONFIG_PATH,)
    if config is not None or certs_d is None:
        path = config or _ETC_CONFIG
        text = read_text(path) if config is None else read_required(path)
        # Without a file containerd uses its defaults, as it does for an empty file.
        found.config_toml = text or ""
        found.config_file = clean_path(str(path.absolute()))
        found.map(posixpath.dirname(found.config_file), path.parent)
        if text is not None:
            found.read.append(str(path))
        _take_imports(found, release)
        roots = _configured(found, release)
    if certs_d is not None:
        if not is_directory(certs_d):
            raise BadInput(
                "not a directory", str(certs_d), fix="name the parent of the hosts' directories"
            )
        if not roots:
            found.unread_directory = str(certs_d)
        found.map(hosts_dir or (roots or (DEFAULT_CONFIG_PATH,))[0], certs_d)
    for root in dict.fromkeys((*roots, *([hosts_dir] if hosts_dir else []))):
        _read_root(found, root, namespace, release)
    return found


def _take_imports(found: ContainerdFiles, release: Release) -> None:
    """Read the imports of config.toml, recursively; the plan reports what is wrong with them."""
    pending = {found.config_file: found.config_toml or ""}
    while pending and len(found.files) <= MOST_FILES:
        parent, text = pending.popitem()
        try:
            imports = read_toml(text).get("imports")
        except InvalidTOML:
            continue
        listed_names = imports if isinstance(imports, list) else []
        names = [name for name in listed_names if isinstance(name, str)]
        for pattern in imported_paths(names, parent, release):
            for path in _named(found, pattern, parent):
                if path in {*found.files, *pending, found.config_file}:
                    continue
                if is_directory(found.real(path)):
                    found.files[f"{path}/"] = ""
                elif (imported := found.take(path)) is not None:
                    pending[path] = imported


def _named(found: ContainerdFiles, pattern: str, parent: str) -> Iterable[str]:
    if "*" not in pattern:
        return [pattern]

    looked_into = 0

    def names(directory: str) -> list[str]:
        nonlocal looked_into
        real = found.real(directory)
        if not is_directory(real):
            return []
        looked_into += 1
        if looked_into > MOST_DIRECTORIES:
            raise BadInput(
                f"the pattern {pattern[:80]!r} of `imports` searches more than "
                f"{MOST_DIRECTORIES} directories",
                found.shown(parent),
            )
        return [entry.name for entry in listed(real)]

    try:
        return glob(pattern, names)
    except InvalidPattern:
        return []


def _configured(found: ContainerdFiles, release: Release) -> tuple[str, ...]:
    """The directories that config.toml names; also reads the certificates of ``configs.tls``."""
    text = found.config_toml or ""
    try:
        registry = parse_config_toml(text, release, found.files, found.config_file)
    except InvalidConfig:
        return ()  # The plan says why.
    for tls in registry.tls.values():
        _take_certificates(found, (tls.ca_file, tls.cert_file, tls.key_file))
    return registry.directories


def _take_certificates(found: ContainerdFiles, paths: Iterable[str | None]) -> None:
    for path in paths:
        if path and not is_directory(found.real(path)):
            found.take(path)


def _read_root(found: ContainerdFiles, root: str, namespace: str, release: Release) -> None:
    real = found.real(root)
    if not is_directory(real):
        return
    wanted = directory_names(namespace)
    for name in wanted:
        directory = real / name
        if "/" in name or not (is_directory(directory) or directory.is_file()):
            continue
        stays_below(directory, real)
        _read_directory(found, f"{root.rstrip('/')}/{name}", real, release)
    top = real.resolve()
    for entry in listed(real):
        if entry.name not in wanted:
            file = Path(entry.path) / "hosts.toml"
            if entry.is_dir() and file.is_file() and file.resolve().is_relative_to(top):
                found.siblings[str(file)] = read_text(file) or ""


def _read_directory(found: ContainerdFiles, known: str, root: Path, release: Release) -> None:
    real = found.real(known)
    if not is_directory(real):
        found.files[known] = ""  # A file where a directory should be.
        return
    found.files[f"{known}/"] = ""
    text = None
    for entry in listed(real):
        path = f"{known}/{entry.name}"
        if entry.name == "hosts.toml":
            if is_directory(real / entry.name):
                found.files[f"{path}/"] = ""
            else:
                text = found.take(path, root)
        elif entry.name.endswith((".crt", ".cert", ".key")):
            _take_certificates(found, (path,))
            if entry.name.endswith(".cert"):
                found.keys[path] = path.removesuffix(".cert") + ".key"
    if text:
        try:
            entries = parse_hosts_toml(text, known, release).entries
        except InvalidHostsFile:
            return  # The plan says that the file is ignored.
        for one in entries:
            _take_certificates(found, (*(one.ca or ()), *chain.from_iterable(one.client)))
            found.keys |= dict(one.client)
