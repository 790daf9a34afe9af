"""Replacements within a text, and edits of nested values: YAML, JSON, and TOML within brackets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from harness.nodes.lint.finding import Path
from harness.nodes.lint.positions import Member, Piece, before_break, line_start, newline_of

Format = Literal["json", "toml", "yaml"]
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\r\n]*", re.MULTILINE)
_COMMA = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*(,)")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"(?![-@%])[A-Za-z0-9_./:@%+-]*[A-Za-z0-9_./@%+-]", re.ASCII)


class NotApplicable(Exception):
    """An edit that cannot be made in this text; the message says why, without a full stop."""


@dataclass(frozen=True, order=True)
class Replacement:
    """``text`` in place of the characters from ``start`` up to ``end``."""

    start: int
    end: int
    text: str = ""


def applied(text: str, replacements: Iterable[Replacement]) -> str:
    """*text* with *replacements*, which must not overlap."""
    parts, position = [], 0
    for one in sorted(replacements):
        parts += [text[position : one.start], one.text]
        position = one.end
    return "".join([*parts, text[position:]])


def overlap(some: Iterable[Replacement], others: Iterable[Replacement]) -> bool:
    """Whether one of *some* and one of *others* touch: at one position their order would matter."""
    theirs = list(others)
    return any(a.start <= b.end and b.start <= a.end for a in some for b in theirs)


def shown(path: Path) -> str:
    """*path* in a message."""
    return ".".join(map(str, path))


def _comments_in(text: str, start: int, end: int, value: Piece | None) -> list[str]:
    """The comments in a range that covers *value*, each indented like its line."""
    inside = [(v.start, v.end) for v in value.scalars()] if value is not None else []
    found = []
    for match in _COMMENT.finditer(text, start, end):
        if not any(first <= match.start() < last for first, last in inside):
            line = text[line_start(text, match.start()) : match.start()]
            found.append(line[: len(line) - len(line.lstrip(" \t"))] + match[0])
    return found


def without_lines(text: str, start: int, end: int, value: Piece | None) -> Replacement:
    """The replacement that takes out the lines from *start* to *end*. Comments that are not part of
    *value* stay. Where the last line of the file goes and has no line break, the line that becomes
    the last has none either."""
    start, stop = line_start(text, start), before_break(text, end)
    if comments := _comments_in(text, start, stop, value):
        return Replacement(start, stop, newline_of(text).join(comments))
    behind = text.find("\n", stop)
    if behind < 0 and start:
        start = before_break(text, start - 1)
    return Replacement(start, len(text) if behind < 0 else behind + 1)


def written(value: object, form: Format, old: str = "", *, bracketed: bool = False) -> str:
    """*value* as the format writes it, in the quotes of *old*, the text that it replaces.

    What JSON writes is valid in all three; YAML may do without quotes.
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(item, form, bracketed=True) for item in value)}]"
    if isinstance(value, str):
        if old.startswith("'") and "'" not in value and value.isprintable():
            return f"'{value}'"
        quoted = old.startswith('"') or (bracketed and ":" in value)
        if form == "yaml" and not quoted and _PLAIN.fullmatch(value):
            import yaml

            if yaml.safe_load(value) == value:
                return value
    return json.dumps(value, ensure_ascii=False)


def written_key(name: str, form: Format, old: str = "") -> str:
    """The key *name* as the format writes it, in the quotes of *old*."""
    bare = form == "toml" and not old.startswith(("'", '"')) and _BARE_KEY.fullmatch(name)
    return name if bare else written(name, form, old, bracketed=True)


@dataclass
class TreeText:
    """A text, a value in it, and its format. Each method gives the replacements of one
    edit, or raises :class:`NotApplicable`."""

    text: str
    root: Piece
    form: Format

    def set_value(self, path: Path, value: object) -> list[Replacement]:
        """Write *value* at *path*; of a list, only the items that differ."""
        holder, piece = self._find(path)
        return self._changed(piece, value, holder.bracketed)

    def _changed(self, piece: Piece, value: object, bracketed: bool) -> list[Replacement]:
        if piece.kind == "alias":
            raise NotApplicable("the value is written elsewhere, as an alias")
        if isinstance(value, list | tuple) and piece.kind == "sequence":
            some = self._changed_items(piece, value)
            if some is not None:
                return some
        if piece.kind != "scalar" and not piece.bracketed:
            raise NotApplicable("the value has several lines")
        if _comments_in(self.text, piece.start, piece.end, piece):
            raise NotApplicable("there are comments within the value")
        old = self.text[piece.start : piece.end]
        return [
            Replacement(piece.start, piece.end, written(value, self.form, old, bracketed=bracketed))
        ]

    def _changed_items(self, piece: Piece, values: Any) -> list[Replacement] | None:
        """The replacements that change single items or remove one; None if that is not enough."""
        old = [self._plain(item) for item in piece.items]
        new = [written(item, self.form, bracketed=True) for item in values]
        if len(old) == len(new):
            return [
                change
                for item, was, now, value in zip(piece.items, old, new, values, strict=True)
                if was != now
                for change in self._changed(item, value, piece.bracketed)
            ]
        for number in range(len(old)):
            if piece.bracketed and old[:number] + old[number + 1 :] == new:
                return self._without_entry(piece, number)
        return None

    def _plain(self, piece: Piece) -> str:
        """The text of an item, in the quotes that it would get."""
        text = self.text[piece.start : piece.end]
        if piece.kind == "scalar" and len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            return written(text[1:-1], self.form, bracketed=True)
        return text

    def rename(self, path: Path, name: str) -> list[Replacement]:
        """Call the key at *path* *name*."""
        member = self._member(self._find(path)[0], path)
        new = written_key(name, self.form, self.text[member.start : member.end])
        return [Replacement(member.start, member.end, new)]

    def remove(self, path: Path) -> list[Replacement]:
        """Take out the key at *path* with its line; comments stay."""
        holder, piece = self._find(path)
        member = self._member(holder, path)
        starts = [start for start, _ in holder.entries]
        if member.entry not in starts:
            raise NotApplicable(f"{shown(path)} is part of another key")
        number = starts.index(member.entry)
        if self.form == "yaml" and len(holder.entries) == 1:
            if len(path) == 1 or isinstance(path[-2], int):
                raise NotApplicable(f"{shown(path)} is all there is")
            return self.remove(path[:-1])
        if holder.bracketed:
            return self._without_entry(holder, number)
        begin = line_start(self.text, member.entry)
        if self.text[begin : member.entry].strip():  # "- key: value"
            if number + 1 >= len(holder.entries):
                raise NotApplicable(f"{shown(path)} is the first key of a list's item")
            return [Replacement(member.entry, holder.entries[number + 1][0])]
        return [without_lines(self.text, begin, max(piece.end, member.end), piece)]

    def _without_entry(self, whole: Piece, number: int) -> list[Replacement]:
        """Take entry *number* and a comma out of a bracketed value; comments stay."""
        start, end = whole.entries[number]
        after = _COMMA.match(self.text, end)
        if after is not None and after.start(1) < whole.end:
            if self.text[end : after.start(1)].strip():
                return [Replacement(start, end), Replacement(after.start(1), after.end(1))]
            return [self._with_blanks(start, after.end(1))]
        if number == 0:
            return [Replacement(start, end)]
        previous = whole.entries[number - 1][1]
        if not self.text[previous:start].strip(" \t,"):
            return [Replacement(previous, end)]
        comma = _COMMA.match(self.text, previous)
        if comma is None:
            raise NotApplicable("no comma was found")
        return [Replacement(comma.start(1), comma.end(1)), self._with_blanks(start, end)]

    def _with_blanks(self, start: int, end: int) -> Replacement:
        """The range with its line if nothing else is on it, else with the blanks behind it."""
        begin, stop = line_start(self.text, start), before_break(self.text, end)
        if not self.text[begin:start].strip() and not self.text[end:stop].strip():
            behind = self.text.find("\n", stop)
            return Replacement(begin, len(self.text) if behind < 0 else behind + 1)
        rest = self.text[end:stop]
        return Replacement(start, end + len(rest) - len(rest.lstrip(" \t")))

    def add(self, path: Path, value: object) -> list[Replacement]:
        """Add the key at *path*, with the mappings above it."""
        holder, depth, member = self.root, 0, None
        for part in path[:-1]:
            if isinstance(part, int) and part < len(holder.items):
                holder = holder.items[part]
            elif part in holder.keys:
                member = self._member(holder, (part,))
                holder = member.value
            else:
                break
            depth += 1
        names = [str(part) for part in path[depth:]]
        if holder.kind == "mapping" and holder.bracketed:
            return [self._added_in_brackets(holder, names, value)]
        if member and holder.kind == "scalar" and holder.start == holder.end:  # "key:" alone
            stop, column = member.end, self._column(member) + self._step()
        elif holder.kind == "mapping" and holder.keys:
            stop, column = holder.end, self._column(next(iter(holder.keys.values())))
        else:
            raise NotApplicable(f"{shown(path[:depth]) or 'the file'} is not a mapping")
        stop = before_break(self.text, stop)
        return [Replacement(stop, stop, self._block(names, value, column))]

    def _column(self, member: Member) -> int:
        return member.start - line_start(self.text, member.start)

    def _step(self) -> int:
        """How far the file indents: the first block within a block shows it."""
        for member in self.root.keys.values():
            if not member.value.bracketed and member.value.keys:
                return self._column(next(iter(member.value.keys.values()))) or 2
        return 2

    def _block(self, names: list[str], value: object, column: int) -> str:
        """Lines of YAML, each with a line break in front."""
        lines, newline = "", newline_of(self.text)
        for name in names:
            lines += f"{newline}{' ' * column}{written_key(name, self.form)}:"
            column += self._step()
        return f"{lines} {written(value, self.form)}"

    def _added_in_brackets(self, holder: Piece, names: list[str], value: object) -> Replacement:
        joint = " = " if self.form == "toml" else ": "
        entry = written(value, self.form, bracketed=True)
        for name in reversed(names):
            entry = f"{{{written_key(name, self.form)}{joint}{entry}}}"
        entry = entry[1:-1]
        if not holder.entries:
            return Replacement(holder.start + 1, holder.start + 1, entry)
        start, end = holder.entries[-1]
        begin = line_start(self.text, start)
        own_line = not self.text[begin:start].strip() and begin > holder.start
        gap = newline_of(self.text) + self.text[begin:start] if own_line else " "
        return Replacement(end, end, f",{gap}{entry}")

    def _find(self, path: Path) -> tuple[Piece, Piece]:
        """What holds the value at *path*, and the value."""
        holder, piece = self.root, self.root
        for part in path:
            holder = piece
            if isinstance(part, int) and part < len(holder.items):
                piece = holder.items[part]
            elif part in holder.keys:
                piece = self._member(holder, (part,)).value
            else:
                raise NotApplicable(f"{shown(path)} is not written there")
        return holder, piece

    @staticmethod
    def _member(holder: Piece, path: Path) -> Member:
        member = holder.keys.get(str(path[-1]))
        if member is None:
            raise NotApplicable(f"{shown(path)} is not a key")
        return member
