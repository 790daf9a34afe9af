"""A tree of files in memory, and file name patterns as Go reads them (path/filepath.Match).

The models read configuration from such a tree, which holds a machine's /etc or a test's files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.nodes.models.go_url import clean_path

__all__ = ["FileLine", "FileTree", "InvalidPattern", "glob", "has_meta", "matches"]


@dataclass(frozen=True)
class FileLine:
    """A line of a file, counted from 1; None for the file as a whole."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


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
            self._enter(absolute)

    @classmethod
    def below(cls, root: str, contents: Mapping[str, str]) -> FileTree:
        """The tree with *contents*, which has relative paths, below *root*."""
        return cls({f"{root.rstrip('/')}/{path}": text for path, text in contents.items()})

    def _enter(self, path: str) -> None:
        while path != "/":
            parent, name = posixpath.split(path)
            self._names.setdefault(parent, set()).add(name)
            path = parent

    def __or__(self, other: FileTree) -> FileTree:
        """Both trees; *other* takes precedence."""
        merged = FileTree({})
        merged._files = self._files | other._files
        merged._names = {
            path: self._names.get(path, set()) | other._names.get(path, set())
            for path in self._names | other._names
        }
        return merged

    def kind(self, path: str) -> Literal["file", "directory"] | None:
        """The kind of *path*; None if it does not exist."""
        path = clean_path(path)
        if path in self._files:
            return "file"
        return "directory" if path in self._names else None

    def read(self, path: str) -> str:
        """The file's text. Raises ``FileNotFoundError``, ``IsADirectoryError`` or
        ``NotADirectoryError`` with the path as its message."""
        path = clean_path(path)
        if path in self._files:
            return self._files[path]
        if path in self._names:
            raise IsADirectoryError(path)
        parent = posixpath.dirname(path)
        while parent != "/":
            if parent in self._files:
                raise NotADirectoryError(path)
            parent = posixpath.dirname(parent)
        raise FileNotFoundError(path)

    def names(self, directory: str) -> list[str]:
        """The names in *directory*, sorted; empty if there is no such directory."""
        return sorted(self._names.get(clean_path(directory), ()))


_LETTER = r"(?:[^\\\]-]|\\.)"
_RANGE = rf"{_LETTER}(?:-{_LETTER})?"
_RANGES = re.compile(_RANGE, re.DOTALL)
_PIECE = re.compile(rf"(\*)|(\?)|\[(\^?)((?:{_RANGE})+)\]|\\(.)|([^*?\[\\])", re.DOTALL)


class InvalidPattern(ValueError):
    """A malformed pattern."""


@dataclass(frozen=True)
class _Letter:
    """One letter in any of these ranges, or in none of them if negated."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def fits(self, letter: str) -> bool:
        return any(low <= letter <= high for low, high in self.ranges) is not self.negated


_STAR = None


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
    """Whether *pattern* matches the whole of *name*, one element of a path. Takes linear space.

    Raises :class:`InvalidPattern`.
    """
    pieces = _pieces(pattern)
    piece = letter = 0
    star: tuple[int, int] | None = None
    while letter < len(name):
        expected = pieces[piece] if piece < len(pieces) else _Letter(())
        if expected is _STAR:
            star = (piece, letter)
            piece += 1
        elif expected.fits(name[letter]):
            piece, letter = piece + 1, letter + 1
        elif star is not None:
            # The last star matches one more letter.
            star = (star[0], star[1] + 1)
            piece, letter = star[0] + 1, star[1]
        else:
            return False
    return all(left is _STAR for left in pieces[piece:])


def _pieces(pattern: str) -> list[_Letter | None]:
    """The pattern letter by letter; :data:`_STAR` matches any number of letters."""
    found: list[_Letter | None] = []
    position = 0
    while position < len(pattern):
        piece = _PIECE.match(pattern, position)
        if piece is None:
            raise InvalidPattern(pattern)
        position = piece.end()
        star, any_letter, negated, ranges, escaped, plain = piece.groups()
        if star:
            found.append(_STAR)
        elif any_letter:
            found.append(_Letter((), negated=True))
        elif ranges:
            written = [re.findall(_LETTER, one) for one in re.findall(_RANGE, ranges)]
            found.append(
                _Letter(tuple((one[0][-1], one[-1][-1]) for one in written), bool(negated))
            )
        else:
            letter = escaped or plain
            found.append(_Letter(((letter, letter),)))
    return found
