"""The ``certs.d`` tree: which directory belongs to a registry, and its content.

Lookup order and the use of certificate files without a hosts.toml:
https://github.com/containerd/containerd/blob/main/docs/hosts.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.nodes.models.containerd.hosts_toml import (
    DaemonPanics,
    HostEntry,
    HostsFile,
    InvalidHostsFile,
    parse_hosts_toml,
)
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.files import FileTree
from harness.nodes.models.go_url import join_path

__all__ = [
    "FileProblem",
    "HostDirectory",
    "UnusableDirectory",
    "directory_names",
    "read_host_directory",
]


@dataclass(frozen=True)
class FileProblem:
    """A problem in the files; ``line`` counts from 1."""

    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:{self.line or 1}: "
        return place + self.message


class UnusableDirectory(Exception):
    """The pull fails before any request because of the directory; has containerd's message."""


@dataclass(frozen=True)
class HostDirectory:
    """The hosts directory of one registry."""

    path: str | None = None
    """The directory that is used; None if there is none."""
    hosts: HostsFile | None = None
    """Its hosts; None if it has none, so that the registry itself is the only host."""
    source: str | None = None
    """The hosts.toml that was read, if it was valid."""
    tried: tuple[str, ...] = ()
    """Every directory that was checked, in order, up to the one that exists."""
    findings: tuple[FileProblem, ...] = field(default=())


def directory_names(namespace: str) -> tuple[str, ...]:
    """The names a registry's directory may have, best first: for ``reg:5000`` they are
    ``reg_5000_``, ``reg:5000`` and ``_default``."""
    name, colon, port = namespace.rpartition(":")
    spelled = (f"{name}_{port}_",) if colon and name else ()
    return (*spelled, namespace, "_default")


def read_host_directory(
    files: FileTree, roots: Sequence[str], namespace: str, release: Release
) -> HostDirectory:
    """The first existing directory for *namespace* in *roots*, and the hosts it names.

    Raises :class:`UnusableDirectory` if the pull fails at once.
    """
    tried: list[str] = []
    for root in roots:
        for name in directory_names(namespace):
            path = join_path(root, name)
            tried.append(path)
            if files.kind(path) is not None:
                return _read(files, path, release, tuple(tried))
    return HostDirectory(tried=tuple(tried))


def _read(
    files: FileTree, directory: str, release: Release, tried: tuple[str, ...]
) -> HostDirectory:
    file = join_path(directory, "hosts.toml")
    try:
        text = files.read(file)
    except FileNotFoundError:
        return HostDirectory(directory, _lone_certificates(files, directory), None, tried)
    except IsADirectoryError:
        raise UnusableDirectory(f"read {file}: is a directory") from None
    except NotADirectoryError:
        raise UnusableDirectory(f"open {file}: not a directory") from None
    if not text:
        return HostDirectory(directory, _lone_certificates(files, directory), None, tried)
    try:
        hosts = parse_hosts_toml(text, directory, release)
    except DaemonPanics as error:
        raise UnusableDirectory(f"containerd panics on {file}: {error.reason}") from None
    except InvalidHostsFile as error:
        ignored = FileProblem(f"the whole file is ignored: {error.reason}", file, error.line)
        lone = _lone_certificates(files, directory)
        return HostDirectory(directory, lone, None, tried, (ignored,))
    return HostDirectory(directory, hosts, file, tried, tuple(_remarks(hosts, file)))


def _remarks(hosts: HostsFile, file: str) -> list[FileProblem]:
    remarks = [
        FileProblem(f"host {url} is ignored: write it as a table header [host.{url!r}]", file)
        for url in hosts.unseen
    ]
    if hosts.unordered:
        remarks.append(
            FileProblem(
                f"{hosts.unordered} hosts are inline tables: their order is random at every lookup",
                file,
            )
        )
    return remarks


def _lone_certificates(files: FileTree, directory: str) -> HostsFile | None:
    """Docker's layout: ``*.crt`` are authorities, ``*.cert`` with ``*.key`` client pairs."""
    names = [n for n in files.names(directory) if files.kind(f"{directory}/{n}") == "file"]
    authorities = tuple(join_path(directory, name) for name in names if name.endswith(".crt"))
    pairs: list[tuple[str, str | None]] = []
    for name in names:
        if name.endswith(".cert"):
            key = join_path(directory, name.removesuffix(".cert") + ".key")
            has_key = files.kind(key) is not None
            pairs.append((join_path(directory, name), key if has_key else None))
    if not authorities and not pairs:
        return None
    return HostsFile((HostEntry(ca=authorities or None, client=tuple(pairs)),))
