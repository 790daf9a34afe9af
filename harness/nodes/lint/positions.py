"""Where the values of a JSON, TOML or YAML text are: one tree of positions for the three.

The text must be valid: it is scanned after the format's own parser accepted it. Grammars: RFC 8259;
https://toml.io/en/v1.0.0. YAML is composed by PyYAML, which keeps positions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.nodes.models.toml_statements import KEY_PART, decoded_key_part


@dataclass
class Piece:
    """A value. ``bracketed``: written in brackets, with commas. ``entries`` are the ranges of the
    members or items, without commas."""

    kind: Literal["mapping", "sequence", "scalar", "alias"]
    start: int
    end: int
    bracketed: bool = False
    keys: dict[str, Member] = field(default_factory=dict)
    items: list[Piece] = field(default_factory=list)
    entries: list[tuple[int, int]] = field(default_factory=list)
    repeats: list[tuple[str, Member]] = field(default_factory=list)
    """Keys that were given again, in JSON; the last value counts."""

    def scalars(self) -> Iterator[Piece]:
        """Every single value in it."""
        if self.kind == "scalar":
            yield self
        for child in (*(member.value for member in self.keys.values()), *self.items):
            yield from child.scalars()


@dataclass
class Member:
    """A key of a mapping, from ``start`` to ``end``. ``entry`` is where its entry begins: of ``b``
    in TOML's ``a.b = 1``, where ``a`` does."""

    entry: int
    start: int
    end: int
    value: Piece


def line_start(text: str, position: int) -> int:
    """Where the line of *position* begins."""
    return text.rfind("\n", 0, position) + 1


def before_break(text: str, position: int) -> int:
    """Where the line of *position* ends, in front of its line break."""
    end = text.find("\n", position)
    if end < 0:
        return len(text)
    return end - 1 if end and text[end - 1] == "\r" else end


def newline_of(text: str) -> str:
    """The line break of the first line."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


@dataclass(frozen=True)
class _Grammar:
    """What differs between the brackets of JSON and of TOML."""

    blank: re.Pattern[str]
    scalar: re.Pattern[str]
    key_part: re.Pattern[str]
    decoded: Callable[[str], str]


JSON = _Grammar(
    re.compile(r"[ \t\r\n]*"),
    re.compile(r'"(?:\\.|[^"\\])*"|[^\s,\]}]+'),
    re.compile(r'"(?:\\.|[^"\\])*"'),
    json.loads,
)
TOML = _Grammar(
    re.compile(r"(?:[ \t\r\n]|#[^\n]*)*"),
    re.compile(
        r'"{3}(?:\\.|[^\\])*?"{3}"{0,2}|\'{3}.*?\'{3}\'{0,2}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
        r"|[^,\]}#\r\n]*[^,\]}#\s]",  # a date may contain a blank
        re.DOTALL,
    ),
    KEY_PART,
    decoded_key_part,
)


def piece_at(text: str, position: int, grammar: _Grammar) -> Piece:
    """The value that begins behind the blanks at *position*.

    Raises ``IndexError`` where the text is not of that grammar, and ``RecursionError``.
    """
    return _Brackets(text, grammar).value(position)


class _Brackets:
    def __init__(self, text: str, grammar: _Grammar) -> None:
        self.text = text
        self.grammar = grammar

    def _match(self, pattern: re.Pattern[str], position: int) -> re.Match[str]:
        found = pattern.match(self.text, position)
        if found is None:
            raise IndexError
        return found

    def _skip(self, position: int) -> int:
        return self._match(self.grammar.blank, position).end()

    def value(self, position: int) -> Piece:
        start = self._skip(position)
        if self.text[start] not in "{[":
            return Piece("scalar", start, self._match(self.grammar.scalar, start).end())
        mapping = self.text[start] == "{"
        found = Piece("mapping" if mapping else "sequence", start, start, bracketed=True)
        position = self._skip(start + 1)
        while self.text[position] not in "}]":
            value = self._member(found, position) if mapping else self.value(position)
            if not mapping:
                found.items.append(value)
            found.entries.append((position, value.end))
            position = self._skip(value.end)
            if self.text[position] == ",":
                position = self._skip(position + 1)
        found.end = position + 1
        return found

    def _member(self, mapping: Piece, entry: int) -> Piece:
        """The value of the key at *entry*, put into *mapping*; a dotted key makes tables."""
        parts: list[re.Match[str]] = []
        position = entry
        while not parts or self.text[position] == ".":
            parts.append(self._match(self.grammar.key_part, self._skip(position + bool(parts))))
            position = self._skip(parts[-1].end())
        value = self.value(position + 1)
        for match in parts[:-1]:
            table = Piece("mapping", value.start, value.end)
            member = Member(entry, *match.span(), table)
            mapping = mapping.keys.setdefault(self.grammar.decoded(match[0]), member).value
        name, member = self.grammar.decoded(parts[-1][0]), Member(entry, *parts[-1].span(), value)
        if name in mapping.keys:
            mapping.repeats.append((name, member))
        mapping.keys[name] = member
        return value


_ALIAS = re.compile(r"[ \t]*:?[ \t]*\*[^\s,\]}]+")


def yaml_pieces(text: str) -> list[Piece]:
    """The value of each document of *text* that is not empty. Raises ``yaml.YAMLError``."""
    import yaml

    found = [_yaml_piece(text, node, 0, set()) for node in yaml.compose_all(text, yaml.SafeLoader)]
    return [piece for piece in found if piece.kind != "scalar" or piece.end > piece.start]


def _yaml_piece(text: str, node: Any, behind: int, seen: set[int]) -> Piece:
    """*node*, of which *behind* is a position in front."""
    if id(node) in seen:  # PyYAML returns the same node for an alias
        alias = _ALIAS.match(text, behind)
        return Piece("alias", behind, alias.end() if alias else behind)
    seen.add(id(node))
    start, end = node.start_mark.index, node.end_mark.index
    if node.id == "scalar":
        if node.style in ("|", ">"):  # its mark is behind the blank lines that follow
            end = start + len(text[start:end].rstrip())
        return Piece("scalar", start, end)
    found = Piece(node.id, start, end, bool(node.flow_style))
    position = start
    for entry in node.value:
        key, value = entry if node.id == "mapping" else (None, entry)
        stop = key.end_mark.index if key else position
        below = _yaml_piece(text, value, stop, seen)
        position = max(below.end, stop)
        if key is None:
            found.items.append(below)
        elif key.id == "scalar" and not key.tag.endswith(":merge"):
            first = key.start_mark.index
            found.keys[key.value] = Member(first, first, stop, below)
        found.entries.append((key.start_mark.index if key else below.start, position))
    if not found.bracketed:
        found.end = position
    return found
