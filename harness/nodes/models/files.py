"""A tree of files in memory, and file name patterns as Go reads them (path/filepath.Match).

The models read configuration from such a tree, which holds a machine's /etc or a test's files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from harness.nodes.models.go_url import clean_path


@dataclass(frozen=True)
class FileLine:
    """A line of a file, counted from 1; None for the file as a whole."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class FileProblem(ValueError):
    """A problem in a configuration file; ``line`` counts from 1, None if unknown."""

    def __init__(self, reason: str, line: int | None = None, file: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.file = file


class FileTree:
    """Files by absolute path. A key that ends in ``/`` is an empty directory."""

    def __init__(self, contents: Mapping[str, str]) -> None:
        self._files: dict[str, str] = {}
        self._names: dict[str, set[str]] = {"/": set()}
        for path, text in contents.items():
            absolute = clean_path(f"/{path}")
            if path.endswith("/"):
                self._names.setdefault(absolute, set())
            else:
                self._files[absolute] = text
            while absolute != "/":
                parent, name = posixpath.split(absolute)
                self._names.setdefault(parent, set()).add(name)
                absolute = parent

    def kind(self, path: str) -> Literal["file", "directory"] | None:
        """The kind of *path*; None if it does not exist."""
        path = clean_path(path)
        if path in self._files:
            return "file"
        return "directory" if path in self._names else None

    def read(self, path: str) -> str:
        """The file's text.

        Raises ``FileNotFoundError``, ``IsADirectoryError`` or ``NotADirectoryError`` with the path
        and Go's words for the problem.
        """
        path = clean_path(path)
        if path in self._files:
            return self._files[path]
        if path in self._names:
            raise IsADirectoryError(f"read {path}: is a directory")
        if any(path.startswith(f"{file}/") for file in self._files):
            raise NotADirectoryError(f"open {path}: not a directory")
        raise FileNotFoundError(f"open {path}: no such file or directory")

    def names(self, directory: str) -> list[str]:
        """The names in *directory*, sorted; empty if there is no such directory."""
        return sorted(self._names.get(clean_path(directory), ()))


_LETTER = r"(?:[^\\\]-]|\\.)"
_RANGE = rf"{_LETTER}(?:-{_LETTER})?"
_PIECE = re.compile(rf"(\*)|(\?)|\[(\^?)((?:{_RANGE})+)\]|\\(.)|([^*?\[\\])", re.DOTALL)


class InvalidPattern(ValueError):
    """A malformed pattern."""


def has_meta(text: str) -> bool:
    """Whether *text* has characters with a meaning in patterns."""
    return any(letter in text for letter in "*?[\\")


def glob(pattern: str, names: Callable[[str], Iterable[str]]) -> list[str]:
    """The paths that match the absolute *pattern*, in the order of Go's filepath.Glob.

    *names* lists a directory, sorted; empty if there is none. Raises :class:`InvalidPattern`.
    """
    matches(pattern, "")
    directory, name = posixpath.split(pattern)
    parents = glob(directory, names) if has_meta(directory) else [directory]
    return [
        f"{parent.rstrip('/')}/{found}"
        for parent in parents
        for found in names(parent)
        if matches(name, found)
    ]


def matches(pattern: str, name: str) -> bool:
    """Whether *pattern* matches the whole of *name*, one element of a path.

    Raises :class:`InvalidPattern`.
    """
    return _compiled(pattern).fullmatch(name) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression. What follows a star is an atomic group, so that a star never
    backtracks into the ones before it and the time stays bounded."""
    parts, position = [""], 0
    while position < len(pattern):
        piece = _PIECE.match(pattern, position)
        if piece is None:
            raise InvalidPattern(pattern)
        position = piece.end()
        star, any_letter, negated, ranges, escaped, plain = piece.groups()
        if star:
            parts.append("")
        elif ranges:
            parts[-1] += _letters(ranges, negated=bool(negated))
        else:
            parts[-1] += "." if any_letter else re.escape(escaped or plain)
    first, *others = parts
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(first + middle + (f".*{others[-1]}" if others else ""), re.DOTALL)


def _letters(ranges: str, *, negated: bool) -> str:
    """The class of letters in *ranges*; a range that ends before it starts has none."""
    ends = [re.findall(_LETTER, one) for one in re.findall(_RANGE, ranges)]
    pairs = [(one[0][-1], one[-1][-1]) for one in ends]
    inside = "".join(f"{re.escape(a)}-{re.escape(b)}" for a, b in pairs if a <= b)
    if not inside:
        return "." if negated else "(?!)"
    return f"[{'^' * negated}{inside}]"
