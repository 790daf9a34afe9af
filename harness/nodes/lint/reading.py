"""The only I/O of lint: finds and opens files, and replaces the repaired ones.

No input is trusted: only regular files are opened, a limited number of bytes is read, and a link
inside a directory is followed only if it stays below that directory. A file is replaced as a whole,
and only if it is still the one that was read; mode, owner and extended attributes are kept.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from harness.nodes.lint.documents import Directory, Document, Unread
from harness.nodes.lint.fix.repair import Repair
from harness.nodes.lint.kinds import Kind, is_candidate
from harness.nodes.lint.parsing import LARGEST_FILE, parsed
from harness.nodes.lint.project import Project

_MOST_NAMES = 20_000
_DEEPEST = 40


def read_all(paths: Iterable[str]) -> Project:
    """The documents in the files and directories *paths*.

    Raises ``FileNotFoundError`` for a path that does not exist, with the path as its message.
    """
    tree = _Tree()
    for path in paths:
        if not os.path.lexists(path):
            raise FileNotFoundError(path)
        if os.path.isdir(path):
            root = os.path.realpath(path)
            tree.roots.append(root)
            tree.left = _MOST_NAMES
            tree.directory(path, root, (root,))
        else:
            absolute = os.path.abspath(path)
            tree.names[absolute] = False
            tree.file(path, absolute, named=True)
            tree.host_directory_of(path, absolute)
    return Project(tuple(tree.documents.values()), tuple(tree.roots), tree.names)


class _Tree:
    """What was found: the documents and every name, by absolute paths."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.roots: list[str] = []
        """The directories that were given."""
        self.names: dict[str, bool] = {}
        """Whether it is a directory."""
        self.left = _MOST_NAMES

    def add(self, document: Document) -> None:
        """Add *document*, unless it was already added: by its own name, or below a directory."""
        self.documents.setdefault(document.absolute, document)

    def unread(self, shown: str, absolute: str, cause: str, what: str) -> None:
        """Add a file or directory that is not read, with the rule that reports it."""
        self.add(Unread(shown, absolute, Kind.INPUT, "", cause, what))

    def file(self, path: str, absolute: str, *, named: bool) -> None:
        """Read a file."""
        try:
            content = _content(absolute)
        except _NotRegular:
            self.unread(path, absolute, "PPX006", "a pipe, socket or device")
        except OSError as error:
            self.unread(path, absolute, "PPX008", f"cannot be read: {error.strerror}")
        else:
            document = parsed(path, absolute, content, named=named)
            if document is not None:
                self.add(document)

    def host_directory_of(self, path: str, absolute: str) -> None:
        """Add the directory in certs.d of a hosts.toml that was given alone: its name may be wrong.
        Nothing else in it is opened."""
        parent, name = os.path.split(absolute)
        if name != "hosts.toml" or not _is_below_certs_d(parent):
            return
        try:
            with os.scandir(parent) as found:
                names = {entry.name: entry.is_dir() for entry in islice(found, _MOST_NAMES)}
        except OSError:
            return
        files, below = (tuple(sorted(n for n in names if names[n] is d)) for d in (False, True))
        shown = os.path.dirname(path) or "."
        self.add(Directory(shown, parent, Kind.DIRECTORY, "", files, below))

    def directory(self, shown: str, absolute: str, above: tuple[str, ...]) -> None:
        """Walk one directory; *above* are the real paths of its ancestors."""
        self.names[absolute] = True
        try:
            with os.scandir(absolute) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            self.unread(shown, absolute, "PPX008", f"cannot be read: {error.strerror}")
            return
        if len(above) > _DEEPEST:
            self.unread(shown, absolute, "PPX011", f"nested deeper than {_DEEPEST} directories")
            return
        subdirectories: list[str] = []
        files: list[str] = []
        for entry in entries:
            self.left -= 1
            if self.left <= 0:
                if self.left == 0:
                    self.unread(shown, absolute, "PPX011", f"more than {_MOST_NAMES} names")
                return
            is_directory = self.entry(entry, os.path.join(shown, entry.name), absolute, above)
            if is_directory is not None:
                (subdirectories if is_directory else files).append(entry.name)
        names = tuple(files), tuple(subdirectories)
        if "hosts.toml" in (*files, *subdirectories) or _is_below_certs_d(absolute):
            self.add(Directory(shown, absolute, Kind.DIRECTORY, "", *names))

    def entry(
        self, entry: os.DirEntry[str], shown: str, parent: str, above: tuple[str, ...]
    ) -> bool | None:
        """Whether the entry is a directory; None if it is skipped."""
        absolute = os.path.join(parent, entry.name)
        real = absolute
        if entry.is_symlink():
            real = os.path.realpath(absolute)
            # What Kubernetes mounts is a link to ..data/NAME, and ..data a link to ..DATE.
            what = _refused_link(real, above)
            if what:
                if is_candidate(entry.name) or os.path.isdir(absolute):
                    self.unread(shown, absolute, "PPX007", what)
                return None
        try:
            is_directory = entry.is_dir()
        except OSError:
            is_directory = False
        self.names[absolute] = is_directory
        if is_directory:
            if not entry.name.startswith("..") and entry.name not in {".git", "node_modules"}:
                self.directory(shown, absolute, (*above, real))
        elif is_candidate(entry.name):
            self.file(shown, absolute, named=False)
        return is_directory


def _refused_link(real: str, above: tuple[str, ...]) -> str:
    """Why a link to *real* is not followed; empty if it is. *above* are the real paths of its
    ancestors, from the directory that was given."""
    if not os.path.lexists(real) or os.path.islink(real):
        return "a link to itself, or a broken link"
    if real in above:
        return "a link to a directory above it"
    inside = os.path.commonpath([real, above[0]]) == above[0]
    return "" if inside else "a link out of the tree, not followed"


def _is_below_certs_d(absolute: str) -> bool:
    return os.path.basename(os.path.dirname(absolute)) == "certs.d"


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


# -- Replacing (--fix) --------------------------------------------------------------------------
_CHANGED = "it changed in the meantime"


class _CannotReplace(Exception):
    """Why a file stays as it was, in a few words."""


def replace_all(repairs: Iterable[Repair], roots: Sequence[str]) -> dict[str, str]:
    """Write each repair to its file. Returns the files that could not be written, as the user named
    them, with the reason. A link is followed within its own directory of *roots*, the directories
    that were given."""
    failed: dict[str, str] = {}
    written: dict[str, str] = {}
    for repair in repairs:
        try:
            real = _real(repair.before.absolute, roots)
            if written.get(real) != repair.after.text:  # one file may have two names
                _replace(Path(real), repair.before.text.encode(), repair.after.text.encode())
                written[real] = repair.after.text
        except _CannotReplace as why:
            failed[repair.before.path] = str(why)
        except OSError as error:
            failed[repair.before.path] = f"cannot be written: {error.strerror}"
    return failed


def _real(path: str, roots: Sequence[str]) -> str:
    real = os.path.realpath(path)
    above = [root for root in roots if os.path.commonpath([root, path]) == root]
    if not above and Path(path).is_symlink():
        raise _CannotReplace("a link: give the file that it points to")
    if above and not any(os.path.commonpath([root, real]) == root for root in above):
        raise _CannotReplace("a link out of the tree")
    return real


def _replace(path: Path, before: bytes, after: bytes) -> None:
    old = _unchanged(path, before)
    new = path.with_name(f".{secrets.token_hex(8)}.pullproof")
    try:
        _write(new, path, old, after)
        if _unchanged(path, before).st_ino != old.st_ino:
            raise _CannotReplace(_CHANGED)
        new.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        raise


def _unchanged(path: Path, before: bytes) -> os.stat_result:
    """The file, which must hold what was read from it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or file.read(len(before) + 1) != before:
            raise _CannotReplace(_CHANGED)
    if found.st_nlink > 1:
        raise _CannotReplace("it has another name (a hard link), which would keep the old content")
    return found


def _write(new: Path, path: Path, old: os.stat_result, after: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
        file.write(after)
        made = os.fstat(file.fileno())
        if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(file.fileno(), old.st_uid, old.st_gid)
        shutil.copystat(path, new)
        os.utime(file.fileno())
        file.flush()
        os.fsync(file.fileno())
