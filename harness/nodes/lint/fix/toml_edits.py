"""Edits of TOML: of headers and keys here, of values in brackets as in any other format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from harness.nodes.lint.documents import numbered
from harness.nodes.lint.finding import Path
from harness.nodes.lint.fix.tree_edits import (
    NotApplicable,
    Replacement,
    TreeText,
    shown,
    without_lines,
    written,
    written_key,
)
from harness.nodes.lint.positions import (
    TOML,
    Piece,
    before_break,
    line_start,
    newline_of,
    piece_at,
)
from harness.nodes.models.toml_statements import KEY_PART, Statement, statements

_PART = re.compile(rf"[ \t]*({KEY_PART.pattern})[ \t]*(\.?)")


@dataclass
class TomlText:
    """The text of a valid TOML document, without a byte order mark. Each method gives the
    replacements of one edit, or raises :class:`NotApplicable`."""

    text: str

    @cached_property
    def _statements(self) -> list[Statement]:
        return list(numbered(statements(self.text)))

    @cached_property
    def _below(self) -> dict[Path, list[Statement]]:
        """The statements of each path and of everything below it, in file order."""
        found: dict[Path, list[Statement]] = {}
        for statement in self._statements:
            for length in range(1, len(statement.path) + 1):
                found.setdefault(statement.path[:length], []).append(statement)
        return found

    def set_value(self, path: Path, value: object) -> list[Replacement]:
        """Write *value* at *path*."""
        tree, inner = self._tree_above(path)
        return tree.set_value(inner, value)

    def rename(self, path: Path, name: str) -> list[Replacement]:
        """Call the key at *path* *name*, in every header and key that it is a part of."""
        ranges = [self._parts(s).get(len(path)) for s in self._below.get(path, ())]
        at = [found for found in ranges if found is not None]
        if not at:
            tree, inner = self._tree_above(path)
            return tree.rename(inner, name)
        return [Replacement(a, b, written_key(name, "toml", self.text[a:b])) for a, b in at]

    def remove(self, path: Path) -> list[Replacement]:
        """Take out all headers and keys of *path*; comments stay."""
        if path not in self._below:
            tree, inner = self._tree_above(path)
            return tree.remove(inner)
        return [
            without_lines(self.text, s.start, max(s.start, s.end - 1), self._value(s))
            for s in self._below[path]
        ]

    def add(self, path: Path, value: object) -> list[Replacement]:
        """Add the key at *path*, with a header for its table if there is none."""
        if self._pair_above(path) is not None:
            tree, inner = self._tree_above(path)
            return tree.add(inner, value)
        if value is None:
            return self._add_table(path)
        table, newline = path[:-1], newline_of(self.text)
        pair = f"{written_key(str(path[-1]), 'toml')} = {written(value, 'toml')}"
        headers = [
            n for n, s in enumerate(self._statements) if s.kind != "pair" and s.path == table
        ]
        if table and not headers:
            return self._add_table(table, pair)
        last = headers[0] if headers else -1
        while last + 1 < len(self._statements) and self._statements[last + 1].kind == "pair":
            last += 1
        if last >= 0:
            before = self._statements[last]
            end = before_break(self.text, max(before.start, before.end - 1))
            indent = self.text[line_start(self.text, before.start) : before.start]
            return [Replacement(end, end, newline + indent + pair)]
        start = self._statements[0].start if self._statements else len(self.text)
        start = line_start(self.text, start)
        if start and not self.text.endswith("\n", 0, start):  # comments, and no last line break
            return [Replacement(start, start, newline + pair)]
        return [Replacement(start, start, pair + newline + (newline if self._statements else ""))]

    def _add_table(self, path: Path, *lines: str) -> list[Replacement]:
        """Add the header of *path* at the end, with *lines* below."""
        newline, end = newline_of(self.text), len(self.text)
        block = newline.join([self._header(path), *lines])
        if not self.text or self.text.endswith("\n"):
            gap = newline if self.text.strip() else ""
            return [Replacement(end, end, gap + block + newline)]
        return [Replacement(end, end, newline + newline + block)]

    def as_headers(self, path: Path) -> list[Replacement]:
        """Write the tables below *path*, which are inline or dotted, with headers of their own."""
        depth = len(path) + 1
        found: list[Replacement] = []
        header: Path = ()
        done: set[Path] = set()
        for statement in self._statements:
            if statement.kind != "pair":
                header = statement.path
            elif statement.path[: len(path)] == path and header[:depth] != statement.path[:depth]:
                found += self._with_header(statement, depth, done)
        if not found:
            raise NotApplicable(f"nothing below {shown(path)} is inline or dotted")
        return found

    def _with_header(self, pair: Statement, depth: int, done: set[Path]) -> list[Replacement]:
        newline, table, value = newline_of(self.text), pair.path[:depth], self._value(pair)
        if len(pair.path) > depth:  # a dotted key
            header = "" if table in done else self._header(table) + newline
            done.add(table)
            return [Replacement(pair.start, self._parts(pair)[depth + 1][0], header)]
        assert value is not None
        tables = {pair.path: value}
        if len(pair.path) < depth:
            tables = {(*pair.path, name): m.value for name, m in value.keys.items()}
        if not tables or not all(v.kind == "mapping" and v.bracketed for v in tables.values()):
            raise NotApplicable(f"{shown(pair.path)} is not an inline table")
        found, start, gap = [], pair.start, ""
        for path, inner in tables.items():
            text = gap + self._header(path)
            for begin, end in inner.entries:
                found.append(Replacement(start, begin, text + newline))
                start, text = end, ""
            gap = text + newline * 2
        return [*found, Replacement(start, value.end, gap.removesuffix(newline * 2))]

    @staticmethod
    def _header(table: Path) -> str:
        return f"[{'.'.join(written_key(str(part), 'toml') for part in table)}]"

    def _pair_above(self, path: Path) -> Statement | None:
        """The pair in whose value *path* lies."""
        pairs: dict[Path, Statement] = {
            s.path: s for s in self._below.get(path[:1], ()) if s.kind == "pair"
        }
        above = (path[:length] for length in range(1, len(path) + 1))
        return next((pairs[part] for part in above if part in pairs), None)

    def _tree_above(self, path: Path) -> tuple[TreeText, Path]:
        """The value in which *path* lies, and the rest of the path."""
        pair = self._pair_above(path)
        value = self._value(pair) if pair else None
        if pair is None or value is None:
            raise NotApplicable(f"{shown(path)} is not a single key in this file")
        return TreeText(self.text, value, "toml"), path[len(pair.path) :]

    def _parts(self, statement: Statement) -> dict[int, tuple[int, int]]:
        """The parts of a header or key as it is written: their depth in the document, and range."""
        position = statement.start + {"table": 1, "array": 2, "pair": 0}[statement.kind]
        ranges: list[tuple[int, int]] = []
        more = "."
        while more and (match := _PART.match(self.text, position)):
            ranges.append(match.span(1))
            position, more = match.end(), match[2]
        names = [n for n, part in enumerate(cast("Path", statement.path), 1) if type(part) is str]
        return dict(zip(names[-len(ranges) :], ranges, strict=True))

    def _value(self, statement: Statement) -> Piece | None:
        """The value of a pair."""
        if statement.kind != "pair":
            return None
        return piece_at(
            self.text, self.text.index("=", max(self._parts(statement).values())[1]) + 1, TOML
        )
