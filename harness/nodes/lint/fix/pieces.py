"""Values with the place of their text, and replacements within a text."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from harness.nodes.lint.finding import Path

__all__ = [
    "Changes",
    "Member",
    "NotApplicable",
    "Piece",
    "Replacement",
    "applied",
    "before_break",
    "line_start",
    "newline_of",
    "overlap",
    "shown",
    "whole_lines",
    "without_entry",
]


class NotApplicable(Exception):
    """An edit that this text does not allow; the message says why, without a full stop."""


@dataclass(frozen=True, order=True)
class Replacement:
    """``text`` in place of the characters from ``start`` up to ``end``."""

    start: int
    end: int
    text: str = ""


@dataclass
class Member:
    """A key of a mapping. ``entry`` is where the whole of it begins: in ``a.b = 1`` of TOML, where
    ``a`` does, for ``b`` too."""

    entry: int
    start: int
    end: int
    value: Piece


@dataclass
class Piece:
    """A value. ``bracketed``: written in brackets, with commas; ``entries`` are then the ranges of
    what stands between the commas."""

    kind: Literal["mapping", "sequence", "scalar", "alias"]
    start: int
    end: int
    bracketed: bool = False
    keys: dict[str, Member] = field(default_factory=dict)
    items: list[Piece] = field(default_factory=list)
    entries: list[tuple[int, int]] = field(default_factory=list)

    def scalars(self) -> Iterator[Piece]:
        """Every single value in it: what stands in them is no comment."""
        if self.kind == "scalar":
            yield self
        for child in (*(member.value for member in self.keys.values()), *self.items):
            yield from child.scalars()


def applied(text: str, replacements: Iterable[Replacement]) -> str:
    """*text* with *replacements*, which must not overlap."""
    parts, position = [], 0
    for one in sorted(replacements):
        parts += [text[position : one.start], one.text]
        position = one.end
    return "".join([*parts, text[position:]])


class Changes:
    """Replacements that do not touch each other, in the order of the text."""

    def __init__(self) -> None:
        self._known: set[Replacement] = set()
        self._sorted: list[Replacement] = []

    def __iter__(self) -> Iterator[Replacement]:
        return iter(self._sorted)

    def has(self, some: Iterable[Replacement]) -> bool:
        """Whether all of *some* are among them."""
        return self._known.issuperset(some)

    def touch(self, some: Iterable[Replacement]) -> bool:
        """Whether one of *some* and one of these touch: at one place, order matters."""
        for one in some:
            at = bisect_left(self._sorted, one)
            near = self._sorted[max(0, at - 1) : at + 1]
            if any(a.start <= one.end and one.start <= a.end for a in near):
                return True
        return False

    def add(self, some: Iterable[Replacement]) -> None:
        """Add *some*, which do not touch."""
        for one in some:
            self._known.add(one)
            insort(self._sorted, one)


def overlap(some: Iterable[Replacement], others: Iterable[Replacement]) -> bool:
    """Whether one of *some* and one of *others* touch each other: at one place, order matters."""
    theirs = list(others)
    return any(a.start <= b.end and b.start <= a.end for a in some for b in theirs)


def line_start(text: str, position: int) -> int:
    """Where the line of *position* begins."""
    return text.rfind("\n", 0, position) + 1


def before_break(text: str, position: int) -> int:
    """Where the line of *position* ends, in front of its line break."""
    end = text.find("\n", position)
    if end < 0:
        return len(text)
    return end - 1 if end and text[end - 1] == "\r" else end


def whole_lines(text: str, start: int, end: int) -> Replacement:
    """What takes the lines from *start* to *end* out. Where the last one has no line break, the one
    that becomes the last has none either."""
    if start and end == len(text) and not text.endswith("\n"):
        start = before_break(text, start - 1)
    return Replacement(start, end)


def newline_of(text: str) -> str:
    """The line break that the file uses: that of its first line."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def shown(path: Path) -> str:
    """*path* in a message."""
    return ".".join(map(str, path))


_COMMA = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*(,)")


def without_entry(text: str, whole: Piece, number: int) -> list[Replacement]:
    """The replacements that take entry *number* out of a bracketed piece, and a comma with it.
    Comments stay."""
    start, end = whole.entries[number]
    after = _COMMA.match(text, end)
    if after is not None and after.start(1) < whole.end:
        gap = text[end : after.start(1)]
        if gap.strip():
            return [Replacement(start, end), Replacement(after.start(1), after.end(1))]
        return [_with_blanks(text, start, after.end(1))]
    if number == 0:
        return [Replacement(start, end)]
    previous = whole.entries[number - 1][1]
    if not text[previous:start].strip(" \t,"):
        return [Replacement(previous, end)]
    comma = _COMMA.match(text, previous)
    if comma is None:
        raise NotApplicable("no comma was found")
    return [Replacement(comma.start(1), comma.end(1)), _with_blanks(text, start, end)]


def _with_blanks(text: str, start: int, end: int) -> Replacement:
    """The range with its line, where nothing else is on it, else with the blanks behind it."""
    begin, stop = line_start(text, start), before_break(text, end)
    if not text[begin:start].strip() and not text[end:stop].strip():
        behind = text.find("\n", stop)
        return Replacement(begin, len(text) if behind < 0 else behind + 1)
    while end < stop and text[end] in " \t":
        end += 1
    return Replacement(start, end)
