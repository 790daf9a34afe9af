"""Reads configuration files: bounded size, regular files only, one clear error otherwise."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from harness.nodes.explain.explanation import BadInput

_LARGEST = 1 << 20
"""Bytes of a file; the API server accepts no larger Secret."""
_MOST_NAMES = 10_000
"""Entries read from one directory."""


def read_text(path: Path) -> str | None:
    """The text of a file, None if there is none. Raises :class:`BadInput` for anything but a
    readable regular file of UTF-8 without control characters, and of at most 1 MiB."""
    name = str(path)
    try:
        # Opening a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    with os.fdopen(descriptor, "rb") as file:
        try:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise BadInput("not a regular file", name)
            content = file.read(_LARGEST + 1)
        except OSError as error:
            raise _unreadable(name, error) from None
    if len(content) > _LARGEST:
        fix = "keep the registry settings only"
        raise BadInput("larger than 1 MiB, the limit for one file", name, fix=fix)
    return _decoded(content, name)


def read_required(path: Path) -> str:
    """Like :func:`read_text`, but raises :class:`BadInput` if there is no file."""
    text = read_text(path)
    if text is None:
        raise BadInput("no such file", str(path))
    return text


def _unreadable(name: str, error: Exception) -> BadInput:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    fix = "run as a user who can read it" if isinstance(error, PermissionError) else ""
    return BadInput(f"cannot read: {reason}", name, fix=fix)


def _decoded(content: bytes, name: str) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput("not UTF-8", name, line, "save it as UTF-8") from None
    for position, letter in enumerate(text if not text.isprintable() else ""):
        if (letter < " " and letter not in "\t\n\r") or letter == "\x7f":
            line = text.count("\n", 0, position) + 1
            problem = f"contains the control character {letter!r}"
            raise BadInput(problem, name, line, "remove it")
    return text


def is_directory(path: Path) -> bool:
    """Whether *path* is a directory; False if nothing is there. Raises :class:`BadInput` if that
    cannot be found out, such as without permission."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), error) from None


def listed(directory: Path) -> Iterator[os.DirEntry[str]]:
    """The entries of *directory*, sorted by name. Raises :class:`BadInput` for too many."""
    try:
        with os.scandir(directory) as entries:
            found = [entry for _, entry in zip(range(_MOST_NAMES + 1), entries, strict=False)]
    except OSError as error:
        raise _unreadable(str(directory), error) from None
    if len(found) > _MOST_NAMES:
        raise BadInput(f"has more than {_MOST_NAMES} entries", str(directory))
    return iter(sorted(found, key=lambda entry: entry.name))


def stays_below(path: Path, root: Path) -> None:
    """Raises :class:`BadInput` if *path* is a link to something outside *root*."""
    try:
        real, base = path.resolve(), root.resolve()
    except (OSError, RuntimeError):
        raise BadInput("cannot be resolved: the link is broken or circular", str(path)) from None
    if not real.is_relative_to(base):
        raise BadInput(
            f"is a link to a file outside {root}", str(path), fix="put the file itself there"
        )
