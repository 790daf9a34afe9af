"""Reading configuration from disk: bounded, regular files only, one clear error for the rest."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from harness.nodes.explain.explanation import BadInput

__all__ = ["LARGEST_FILE", "MOST_NAMES", "is_directory", "listed", "read_text", "stays_below"]

LARGEST_FILE = 512 * 1024
"""Bytes; nobody writes such files by hand."""
MOST_NAMES = 10_000
"""Names read of one directory."""


def read_text(path: Path, *, largest: int = LARGEST_FILE) -> str | None:
    """The text of a file, None if there is none. Raises :class:`BadInput` for anything but a
    readable regular file of UTF-8 without control characters, and of at most *largest* bytes."""
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
                raise BadInput("is not a regular file", name, fix="give the file itself")
            content = file.read(largest + 1)
        except OSError as error:
            raise _unreadable(name, error) from None
    if len(content) > largest:
        raise BadInput(
            f"is larger than {largest // 1024} KiB, the most that is read of one file",
            name,
            fix="leave out what has nothing to do with registries",
        )
    return _decoded(content, name)


def _unreadable(name: str, error: Exception) -> BadInput:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    fix = "run as a user who may read it" if isinstance(error, PermissionError) else ""
    return BadInput(f"cannot be read: {reason}", name, fix=fix)


def _decoded(content: bytes, name: str) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput("is not UTF-8", name, line, "save it as UTF-8") from None
    for position, letter in enumerate(text if not text.isprintable() else ""):
        if (letter < " " and letter not in "\t\n\r") or letter == "\x7f":
            line = text.count("\n", 0, position) + 1
            problem = f"holds the control character {letter!r}"
            raise BadInput(problem, name, line, "remove it")
    return text


def is_directory(path: Path) -> bool:
    """Whether *path* is a directory that can be looked into. Raises :class:`BadInput` otherwise if
    something stands in the way, but not for a path where there is nothing."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), error) from None


def listed(directory: Path) -> Iterator[os.DirEntry[str]]:
    """What is in *directory*, by name; :data:`MOST_NAMES` at most."""
    try:
        with os.scandir(directory) as entries:
            found = [entry for _, entry in zip(range(MOST_NAMES + 1), entries, strict=False)]
    except OSError as error:
        raise _unreadable(str(directory), error) from None
    if len(found) > MOST_NAMES:
        raise BadInput(f"has more than {MOST_NAMES} entries", str(directory))
    return iter(sorted(found, key=lambda entry: entry.name))


def stays_below(path: Path, root: Path) -> None:
    """Refuse *path* where links lead out of *root*."""
    try:
        real, base = path.resolve(), root.resolve()
    except (OSError, RuntimeError) as error:
        raise BadInput(f"cannot be followed: {error}", str(path)) from None
    if not real.is_relative_to(base):
        raise BadInput(
            f"is a link that leads out of {root}", str(path), fix="put the file itself there"
        )
