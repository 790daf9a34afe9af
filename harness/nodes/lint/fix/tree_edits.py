"""Edits of values that stand within each other: YAML, JSON, and what TOML writes in brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from harness.nodes.lint.finding import Path
from harness.nodes.lint.fix.pieces import (
    Member,
    NotApplicable,
    Piece,
    Replacement,
    before_break,
    line_start,
    newline_of,
    shown,
    whole_lines,
    without_entry,
)
from harness.nodes.lint.fix.styles import Style

__all__ = ["TreeText", "comments_of"]

_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\r\n]*", re.MULTILINE)
_STEP = 2  # blanks for each level, where the file shows no other habit


def comments_of(text: str, start: int, end: int, covered: Piece | None) -> list[str]:
    """The comments in a range, each indented like its line. What looks like one within the values
    of *covered* is none."""
    values = [(v.start, v.end) for v in covered.scalars()] if covered is not None else []
    found = []
    for match in _COMMENT.finditer(text, start, end):
        if not any(first <= match.start() < last for first, last in values):
            line = text[line_start(text, match.start()) : match.start()]
            found.append(line[: len(line) - len(line.lstrip(" \t"))] + match[0])
    return found


@dataclass
class TreeText:
    """A text, the value in it, and how its format is written. Each method gives the replacements
    of one edit, and raises :class:`NotApplicable` where the text does not allow it.

    ``prunes``: a mapping that becomes empty goes too, as YAML's blocks cannot be empty.
    """

    text: str
    root: Piece
    style: Style
    prunes: bool = False

    def set_value(self, path: Path, value: object) -> list[Replacement]:
        """Write *value* at *path*."""
        holder, piece = self._reach(path)
        return self.changed(piece, value, holder.bracketed)

    def changed(self, piece: Piece, value: object, bracketed: bool) -> list[Replacement]:
        """Write *value* for *piece*; of lists, only the items that differ."""
        if piece.kind == "alias":
            raise NotApplicable("the value is written elsewhere, as an alias")
        if isinstance(value, list | tuple) and piece.kind == "sequence":
            items = [self._plain(item) for item in piece.items]
            some = self._items(piece, items, [self._written(item) for item in value], value)
            if some is not None:
                return some
        if piece.kind != "scalar" and not piece.bracketed:
            raise NotApplicable("the value goes over several lines")
        if comments_of(self.text, piece.start, piece.end, piece):
            raise NotApplicable("there are comments within the value")
        old = self.text[piece.start : piece.end]
        return [Replacement(piece.start, piece.end, self.style.value(value, old, bracketed))]

    def _items(
        self, piece: Piece, old: list[str], new: list[str], values: Any
    ) -> list[Replacement] | None:
        """The replacements that make a list of the *old* texts one of the *new*; None if that is
        no matter of single items."""
        if len(old) == len(new):
            return [
                change
                for item, was, now, value in zip(piece.items, old, new, values, strict=True)
                if was != now
                for change in self.changed(item, value, piece.bracketed)
            ]
        rest = iter(new)
        expected = next(rest, None)
        gone = []
        for number, item in enumerate(old):
            if item == expected:
                expected = next(rest, None)
            else:
                gone.append(number)
        if expected is not None or len(gone) != len(old) - len(new):
            return None
        if not piece.bracketed or len(gone) > 1:
            return None
        return without_entry(self.text, piece, gone[0])

    def _plain(self, piece: Piece) -> str:
        """The text of an item, as :meth:`_written` would write its value."""
        text = self.text[piece.start : piece.end]
        if piece.kind == "scalar" and len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            return self._written(text[1:-1])
        return text

    def _written(self, value: object) -> str:
        return self.style.value(value, "", True)

    def rename(self, path: Path, name: str) -> list[Replacement]:
        """Call the key at *path* *name*."""
        holder, _ = self._reach(path)
        if name in holder.keys:
            raise NotApplicable(f"{name} is there already")
        member = self._member(holder, path)
        old = self.text[member.start : member.end]
        return [Replacement(member.start, member.end, self.style.key(name, old))]

    def remove(self, path: Path) -> list[Replacement]:
        """Take the key at *path* out, with its line; comments in it stay."""
        holder, piece = self._reach(path)
        member = self._member(holder, path)
        end = max(piece.end, member.end)
        for depth in range(len(path) - 1, -1, -1):  # a dotted key is an entry of a table above
            holder = self._reach(path[:depth])[1]
            number = next((n for n, at in enumerate(holder.entries) if at[0] == member.entry), None)
            if number is not None:
                break
        else:
            raise NotApplicable(f"{shown(path)} is written as part of another key")
        if self.prunes and len(holder.entries) == 1:
            if len(path) == 1 or isinstance(path[-2], int):
                raise NotApplicable(f"{shown(path)} is all there is")
            return self.remove(path[:-1])
        if holder.bracketed:
            return without_entry(self.text, holder, number)
        begin, stop = line_start(self.text, member.entry), before_break(self.text, end)
        comments = comments_of(self.text, begin, stop, piece)
        if self.text[begin : member.entry].strip():  # "- key: value"
            if comments or number + 1 >= len(holder.entries):
                raise NotApplicable(f"{shown(path)} begins the item of a list")
            return [Replacement(member.entry, holder.entries[number + 1][0])]
        if comments:
            return [Replacement(begin, stop, newline_of(self.text).join(comments))]
        behind = self.text.find("\n", stop)
        return [whole_lines(self.text, begin, len(self.text) if behind < 0 else behind + 1)]

    def add(self, path: Path, value: object) -> list[Replacement]:
        """Add the key at *path*, with the mappings above it."""
        holder, depth, column = self.root, 0, 0
        while depth < len(path) - 1:
            part = path[depth]
            if isinstance(part, int) and part < len(holder.items):
                holder = holder.items[part]
            elif part in holder.keys:
                member = self._member(holder, (part,))
                column = member.start - line_start(self.text, member.start)
                holder = member.value
            else:
                break
            depth += 1
        if depth == len(path) - 1 and str(path[-1]) in holder.keys:
            raise NotApplicable(f"{shown(path)} is there already")
        names = [str(part) for part in path[depth:]]
        if holder.kind == "scalar" and depth and holder.start == holder.end:
            stop = before_break(self.text, member.end)
            return [Replacement(stop, stop, self._block(names, value, column + self._step()))]
        if holder.kind != "mapping":
            raise NotApplicable(f"{shown(path[:depth]) or 'the file'} is no mapping")
        if holder.bracketed:
            return [self._added_in_brackets(holder, names, value)]
        first = next(iter(holder.keys.values()), None)
        if first is None:
            raise NotApplicable(f"{shown(path[:depth]) or 'the file'} has no keys of its own")
        stop = before_break(self.text, holder.end)
        column = first.start - line_start(self.text, first.start)
        return [Replacement(stop, stop, self._block(names, value, column))]

    def _block(self, names: list[str], value: object, column: int) -> str:
        """Lines of YAML, each with a line break in front."""
        lines = ""
        newline = newline_of(self.text)
        for name in names:
            lines += f"{newline}{' ' * column}{self.style.key(name, '')}:"
            column += self._step()
        return f"{lines} {self.style.value(value, '', False)}"

    def _step(self) -> int:
        """How far the file indents: its first block within a block shows it."""
        for member in self.root.keys.values():
            for inner in member.value.keys.values():
                if not member.value.bracketed:
                    return inner.start - line_start(self.text, inner.start) or _STEP
        return _STEP

    def _added_in_brackets(self, holder: Piece, names: list[str], value: object) -> Replacement:
        written = self.style.value(value, "", True)
        for name in reversed(names[1:]):
            written = f"{{{self.style.key(name, '')}{self.style.joint}{written}}}"
        old = self.text[holder.start + 1 : holder.start + 2]
        like = '"' if old == '"' else ""
        written = f"{self.style.key(names[0], like)}{self.style.joint}{written}"
        if not holder.entries:
            return Replacement(holder.start + 1, holder.start + 1, written)
        start, end = holder.entries[-1]
        begin = line_start(self.text, start)
        own_line = not self.text[begin:start].strip() and begin > holder.start
        gap = newline_of(self.text) + self.text[begin:start] if own_line else " "
        return Replacement(end, end, f",{gap}{written}")

    def _reach(self, path: Path) -> tuple[Piece, Piece]:
        """What holds the value at *path*, and the value."""
        holder, piece = self.root, self.root
        for part in path:
            holder = piece
            if isinstance(part, int) and part < len(holder.items):
                piece = holder.items[part]
            elif part in holder.keys:
                piece = self._member(holder, (part,)).value
            elif piece.kind == "alias":
                raise NotApplicable("the value is written elsewhere, as an alias")
            else:
                raise NotApplicable(f"{shown(path)} is not written in this file")
        return holder, piece

    @staticmethod
    def _member(holder: Piece, path: Path) -> Member:
        member = holder.keys.get(str(path[-1]))
        if member is None:
            raise NotApplicable(f"{shown(path)} is no key")
        return member
