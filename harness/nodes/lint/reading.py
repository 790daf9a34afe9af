"""Finds and opens files: the only I/O of lint besides ``replacing``.

No input is trusted: only regular files are opened, a limited number of bytes is read, and a link
inside a directory is followed only if it stays below that directory.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.nodes.lint.documents import Directory, Document, Unread
from harness.nodes.lint.kinds import Kind, is_candidate
from harness.nodes.lint.parsing import LARGEST_FILE, parsed

__all__ = ["Tree", "read_all"]

_MOST_NAMES = 20_000
_DEEPEST = 40


@dataclass
class Tree:
    """What was found: the documents, and every name with whether it is a directory."""

    documents: list[Document] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    """The directories that were given, as absolute paths."""
    names: dict[str, bool] = field(default_factory=dict)
    """Absolute path to whether it is a directory."""
    _seen: set[str] = field(default_factory=set)

    def add(self, document: Document) -> None:
        """Add *document*, unless it was already added: by its own name, or below a directory."""
        if document.absolute not in self._seen:
            self._seen.add(document.absolute)
            self.documents.append(document)


def read_all(paths: Iterable[str]) -> Tree:
    """The documents in the files and directories *paths*.

    Raises ``FileNotFoundError`` for a path that does not exist, with the path as its message.
    """
    tree = Tree()
    for path in paths:
        if not os.path.lexists(path):
            raise FileNotFoundError(path)
        if os.path.isdir(path):
            root = os.path.realpath(path)
            tree.roots.append(root)
            _Walk(tree, root, os.path.realpath(root)).directory(path, root, (root,))
        else:
            absolute = os.path.abspath(path)
            tree.names[absolute] = False
            for document in _document(path, absolute, named=True):
                tree.add(document)
            _add_host_directory(tree, path, absolute)
    return tree


def _add_host_directory(tree: Tree, path: str, absolute: str) -> None:
    """Add the directory in certs.d of a hosts.toml that was given alone: its name may be wrong.
    Nothing else in it is opened."""
    parent, name = os.path.split(absolute)
    if name != "hosts.toml" or not _is_below_certs_d(parent):
        return
    try:
        with os.scandir(parent) as found:
            names = {entry.name: entry.is_dir() for entry in itertools.islice(found, _MOST_NAMES)}
    except OSError:
        return
    files, directories = (tuple(sorted(n for n in names if names[n] is d)) for d in (False, True))
    shown = os.path.dirname(path) or "."
    tree.add(Directory(shown, parent, Kind.DIRECTORY, "", files, directories))


class _Walk:
    def __init__(self, tree: Tree, root: str, real_root: str) -> None:
        self.tree = tree
        self.root = root
        self.real_root = real_root
        self.left = _MOST_NAMES

    def directory(self, shown: str, absolute: str, above: tuple[str, ...]) -> None:
        """Walk one directory; *above* are the real paths of its ancestors."""
        self.tree.names[absolute] = True
        try:
            with os.scandir(absolute) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            self._unread(shown, absolute, "PPX008", f"cannot be read: {error.strerror}")
            return
        if len(above) > _DEEPEST:
            self._unread(shown, absolute, "PPX011", f"nested deeper than {_DEEPEST} directories")
            return
        subdirectories: list[str] = []
        files: list[str] = []
        for entry in entries:
            self.left -= 1
            if self.left <= 0:
                if self.left == 0:
                    self._unread(shown, absolute, "PPX011", f"more than {_MOST_NAMES} names")
                return
            is_directory = self._entry(entry, os.path.join(shown, entry.name), absolute, above)
            if is_directory is not None:
                (subdirectories if is_directory else files).append(entry.name)
        if _is_host_directory(absolute, files, subdirectories):
            names = tuple(files), tuple(subdirectories)
            self.tree.add(Directory(shown, absolute, Kind.DIRECTORY, "", *names))

    def _entry(
        self, entry: os.DirEntry[str], shown: str, parent: str, above: tuple[str, ...]
    ) -> bool | None:
        """Whether the entry is a directory; None if it is skipped."""
        absolute = os.path.join(parent, entry.name)
        real = absolute
        if entry.is_symlink():
            real = os.path.realpath(absolute)
            # What Kubernetes mounts is a link to ..data/NAME, and ..data a link to ..DATE.
            what = self._refused_link(real, above)
            if what:
                if is_candidate(entry.name) or os.path.isdir(absolute):
                    self._unread(shown, absolute, "PPX007", what)
                return None
        try:
            is_directory = entry.is_dir()
        except OSError:
            is_directory = False
        self.tree.names[absolute] = is_directory
        if is_directory:
            if not entry.name.startswith("..") and entry.name not in {".git", "node_modules"}:
                self.directory(shown, absolute, (*above, real))
        elif is_candidate(entry.name):
            for document in _document(shown, absolute, named=False):
                self.tree.add(document)
        return is_directory

    def _refused_link(self, real: str, above: tuple[str, ...]) -> str:
        if not os.path.lexists(real) or os.path.islink(real):
            return "a link to itself, or a broken link"
        if real in above:
            return "a link to a directory above it"
        inside = os.path.commonpath([real, self.real_root]) == self.real_root
        return "" if inside else "a link out of the tree, not followed"

    def _unread(self, shown: str, absolute: str, cause: str, what: str) -> None:
        self.tree.add(Unread(shown, absolute, Kind.INPUT, "", cause, what))


def _is_host_directory(absolute: str, files: list[str], directories: list[str]) -> bool:
    named = "hosts.toml" in files or "hosts.toml" in directories
    return named or _is_below_certs_d(absolute)


def _is_below_certs_d(absolute: str) -> bool:
    return os.path.basename(os.path.dirname(absolute)) == "certs.d"


def _document(path: str, absolute: str, *, named: bool) -> Iterator[Document]:
    try:
        content = _content(absolute)
    except _NotRegular:
        yield Unread(path, absolute, Kind.INPUT, "", "PPX006", "a pipe, socket or device")
        return
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        yield Unread(path, absolute, Kind.INPUT, "", "PPX008", what)
        return
    document = parsed(path, absolute, content, named=named)
    if document is not None:
        yield document


class _NotRegular(Exception):
    pass


def _content(path: str) -> bytes:
    """The content, at most one byte more than the limit."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise _NotRegular
    # It may have been exchanged since: opening a pipe without a writer must not wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _NotRegular
        return file.read(LARGEST_FILE + 1)
