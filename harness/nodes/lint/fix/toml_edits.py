"""Edits of TOML: of headers and keys here, of what stands in brackets as in any other format."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

from harness.nodes.lint.documents import numbered
from harness.nodes.lint.finding import Path
from harness.nodes.lint.fix.bracket_pieces import TOML, piece_at
from harness.nodes.lint.fix.pieces import (
    NotApplicable,
    Piece,
    Replacement,
    before_break,
    line_start,
    newline_of,
    shown,
    whole_lines,
)
from harness.nodes.lint.fix.styles import TOML_STYLE
from harness.nodes.lint.fix.tree_edits import TreeText, comments_of
from harness.nodes.models.toml_statements import KEY_PART, Statement, statements

__all__ = ["TomlText"]


@dataclass
class TomlText:
    """The text of a valid TOML document, without a byte order mark. Each method gives the
    replacements of one edit, or raises :class:`NotApplicable`."""

    text: str

    @cached_property
    def _statements(self) -> list[Statement]:
        """With numbers in their paths for the tables of an array."""
        found = numbered(statements(self.text))
        return [replace(s, path=cast("tuple[str, ...]", path)) for s, path in found]

    @cached_property
    def _below(self) -> dict[Path, list[Statement]]:
        """The statements of each path and of all that is below it, in file order."""
        found: dict[Path, list[Statement]] = {}
        for statement in self._statements:
            path: Path = statement.path
            for length in range(1, len(path) + 1):
                found.setdefault(path[:length], []).append(statement)
        return found

    def set_value(self, path: Path, value: object) -> list[Replacement]:
        """Write *value* at *path*."""
        if any((s.kind, s.path) != ("pair", path) for s in self._below.get(path, ())):
            raise NotApplicable(f"{shown(path)} goes over several lines")
        statement, inner = self._pair_above(path)
        tree = TreeText(self.text, self._value(statement), TOML_STYLE)
        return tree.set_value(inner, value) if inner else tree.changed(tree.root, value, False)

    def rename(self, path: Path, name: str) -> list[Replacement]:
        """Call the key at *path* *name*, in every header and key that it is a part of."""
        depth = len(path)
        at = [
            (part.start, part.end)
            for statement in self._below.get(path, ())
            for part in self._own_parts(statement)
            if part.depth == depth
        ]
        if not at:
            statement, inner = self._pair_above(path)
            return TreeText(self.text, self._value(statement), TOML_STYLE).rename(inner, name)
        if (*path[:-1], name) in self._below:
            raise NotApplicable(f"{name} is there already")
        return [Replacement(a, b, TOML_STYLE.key(name, self.text[a:b])) for a, b in at]

    def remove(self, path: Path) -> list[Replacement]:
        """Take out all headers and keys of *path*; comments stay."""
        gone = self._below.get(path, ())
        if not gone:
            statement, inner = self._pair_above(path)
            return TreeText(self.text, self._value(statement), TOML_STYLE).remove(inner)
        return [self._without(statement) for statement in gone]

    def _without(self, statement: Statement) -> Replacement:
        start, stop = line_start(self.text, statement.start), statement.end
        value = self._value(statement) if statement.kind == "pair" else None
        comments = comments_of(self.text, statement.start, stop, value)
        if not comments:
            return whole_lines(self.text, start, stop)
        end = before_break(self.text, max(statement.start, stop - 1))
        return Replacement(start, end, newline_of(self.text).join(comments))

    def add(self, path: Path, value: object) -> list[Replacement]:
        """Add the key at *path*, with the table around it where there is none."""
        table, key = path[:-1], str(path[-1])
        pair_above = self._pair_above_or_none(path)
        if pair_above is not None:
            tree = TreeText(self.text, self._value(pair_above), TOML_STYLE)
            return tree.add(path[len(pair_above.path) :], value)
        pair = f"{TOML_STYLE.key(key, '')} = {TOML_STYLE.value(value, '', False)}"
        header = next(
            (s for s in self._below.get(table, ()) if s.kind != "pair" and s.path == table),
            None,
        )
        if header is None and table:
            return self.add_table(table, pair)
        own = self._pairs_below(header)
        if own:
            return [self._after(own[-1], pair)]
        if header is not None:
            return [self._after(header, pair)]
        newline = newline_of(self.text)
        start = self._statements[0].start if self._statements else len(self.text)
        start = line_start(self.text, start)
        if start and not self.text.endswith("\n", 0, start):  # comments, and no last line break
            return [Replacement(start, start, newline + pair)]
        return [Replacement(start, start, pair + newline + (newline if self._statements else ""))]

    def _after(self, statement: Statement, line: str) -> Replacement:
        end = before_break(self.text, max(statement.start, statement.end - 1))
        indent = self.text[line_start(self.text, statement.start) : statement.start]
        return Replacement(end, end, newline_of(self.text) + indent + line)

    def _pairs_below(self, header: Statement | None) -> list[Statement]:
        """The pairs under *header*, or in front of the first one."""
        first = 0
        if header is not None:
            first = bisect_right(self._statements, header.start, key=lambda s: s.start)
        found = []
        for statement in itertools.islice(self._statements, first, None):
            if statement.kind != "pair":
                break
            found.append(statement)
        return found

    def add_table(self, path: Path, *lines: str) -> list[Replacement]:
        """Add the header of *path* at the end, with *lines* below."""
        newline = newline_of(self.text)
        name = ".".join(TOML_STYLE.key(str(part), "") for part in path)
        block = newline.join([f"[{name}]", *lines])
        end = len(self.text)
        if not self.text or self.text.endswith("\n"):
            gap = newline if self.text.strip() else ""
            return [Replacement(end, end, gap + block + newline)]
        return [Replacement(end, end, newline + newline + block)]

    def as_headers(self, path: Path) -> list[Replacement]:
        """Write the tables below *path*, which are inline or dotted, with headers of their own."""
        depth = len(path) + 1
        pairs = [s for s in self._statements if s.kind == "pair" and s.path[: len(path)] == path]
        found: list[Replacement] = []
        done: list[Path] = []
        for statement in pairs:
            if statement.path == path:
                found += self._as_tables(statement, path)
                done.append(path)
                continue
            table = statement.path[:depth]
            if self._header_of(statement).path[:depth] == table:
                continue
            if table in done[:-1] or self._follows_others(statement, path):
                raise NotApplicable("other keys stand in between: they would change their table")
            if statement.path == table:
                found += self._as_table(statement, table)
            else:
                found.append(self._as_member(statement, table, again=table in done))
            done.append(table)
        if not found:
            raise NotApplicable(f"nothing below {shown(path)} is inline or dotted")
        return found

    def _header_of(self, pair: Statement) -> Statement:
        above = [s for s in self._statements if s.kind != "pair" and s.start < pair.start]
        return above[-1] if above else Statement("table", (), 1, 1)

    def _follows_others(self, pair: Statement, path: Path) -> bool:
        """Whether keys that are not below *path* come behind *pair*, and before the next header."""
        after = [s for s in self._statements if s.start > pair.start]
        for statement in after:
            if statement.kind != "pair":
                return False
            if statement.path[: len(path)] != path:
                return True
        return False

    def _as_member(self, pair: Statement, table: Path, *, again: bool) -> Replacement:
        """A dotted key, with a header in front where it is the first of its table."""
        parts = self._own_parts(pair)
        rest = next(part for part in parts if part.depth == len(table) + 1)
        header = "" if again else self._header(table) + newline_of(self.text)
        return Replacement(pair.start, rest.start, header)

    def _as_table(self, pair: Statement, table: Path) -> list[Replacement]:
        """``"URL" = { key = value }``, as a header with lines."""
        return self._lines(pair.start, table, self._value(pair))

    def _as_tables(self, pair: Statement, path: Path) -> list[Replacement]:
        """``host = { "URL" = { ... } }``."""
        value = self._value(pair)
        plain = value.kind == "mapping" and len(value.keys) == len(value.entries) > 0
        if not plain or self._follows_others(pair, path):
            raise NotApplicable(f"{shown(path)} cannot be written with headers at its place")
        found: list[Replacement] = []
        start = pair.start
        for name, member in value.keys.items():
            some = self._lines(start, (*path, name), member.value)
            if found:
                some[0] = replace(some[0], text=newline_of(self.text) * 2 + some[0].text)
            found += some
            start = member.value.end
        return [*found, Replacement(start, value.end)]

    def _lines(self, start: int, table: Path, value: Piece) -> list[Replacement]:
        """From *start*, where its key or what is in front of that begins, to the value's end. What
        stands between the commas is not touched."""
        if value.kind != "mapping" or not value.bracketed:
            raise NotApplicable(f"{shown(table)} is no inline table")
        newline = newline_of(self.text)
        found, text = [], self._header(table)
        for begin, end in value.entries:
            found.append(Replacement(start, begin, text + newline))
            start, text = end, ""
        return [*found, Replacement(start, value.end, text)]

    @staticmethod
    def _header(table: Path) -> str:
        return f"[{'.'.join(TOML_STYLE.key(str(part), '') for part in table)}]"

    def _pair_above(self, path: Path) -> tuple[Statement, Path]:
        """The pair in whose value *path* lies, and the rest of the path."""
        statement = self._pair_above_or_none(path)
        if statement is None:
            raise NotApplicable(f"{shown(path)} is not written as a key in this file")
        return statement, path[len(statement.path) :]

    def _pair_above_or_none(self, path: Path) -> Statement | None:
        for length in range(1, len(path) + 1):
            for statement in self._below.get(path[:length], ())[:1]:
                if statement.kind == "pair" and statement.path == path[:length]:
                    return statement
        return None

    def _own_parts(self, statement: Statement) -> list[_Part]:
        """The parts of the header or key as it is written, with their depth in the document."""
        position = statement.start + {"table": 1, "array": 2, "pair": 0}[statement.kind]
        ranges: list[tuple[int, int]] = []
        while True:
            while self.text[position] in " \t":
                position += 1
            match = KEY_PART.match(self.text, position)
            if match is None:
                raise NotApplicable("the key's place was not found")
            ranges.append(match.span())
            position = match.end()
            while self.text[position] in " \t":
                position += 1
            if self.text[position] != ".":
                break
            position += 1
        path: Path = statement.path
        names = [depth for depth, part in enumerate(path, 1) if isinstance(part, str)]
        depths = names[-len(ranges) :]
        return [_Part(d, start, end) for d, (start, end) in zip(depths, ranges, strict=True)]

    def _value(self, pair: Statement) -> Piece:
        """The value of *pair*."""
        position = self.text.index("=", self._own_parts(pair)[-1].end)
        return piece_at(self.text, position + 1, TOML)


@dataclass(frozen=True)
class _Part:
    depth: int
    start: int
    end: int
