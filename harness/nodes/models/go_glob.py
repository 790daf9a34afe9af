"""File name patterns as Go reads them (path/filepath.Match); none takes more than a moment."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["InvalidPattern", "glob", "has_meta", "matches"]

_LETTER = r"(?:[^\\\]-]|\\.)"
_RANGE = rf"{_LETTER}(?:-{_LETTER})?"
_RANGES = re.compile(_RANGE, re.DOTALL)
_PIECE = re.compile(rf"(\*)|(\?)|\[(\^?)((?:{_RANGE})+)\]|\\(.)|([^*?\[\\])", re.DOTALL)


class InvalidPattern(ValueError):
    """A pattern that Go calls malformed."""


@dataclass(frozen=True)
class _Letter:
    """One letter between any of these two, both included, or outside of them all."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def fits(self, letter: str) -> bool:
        return any(low <= letter <= high for low, high in self.ranges) is not self.negated


_STAR = None


def has_meta(text: str) -> bool:
    """Whether *text* is more than a plain name."""
    return any(letter in text for letter in "*?[\\")


def glob(pattern: str, names: Callable[[str], Iterable[str]]) -> list[str]:
    """The paths that fit the absolute *pattern*, in the order of Go's filepath.Glob.

    *names* gives what is in a directory, sorted; nothing for what is none. Raises
    :class:`InvalidPattern`.
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
    """Whether *pattern* fits the whole of *name*, one element of a path.

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
            # The last star takes one letter more.
            star = (star[0], star[1] + 1)
            piece, letter = star[0] + 1, star[1]
        else:
            return False
    return all(left is _STAR for left in pieces[piece:])


def _pieces(pattern: str) -> list[_Letter | None]:
    """What is expected, letter by letter, with :data:`_STAR` for any number of letters."""
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
