"""Where values stand in JSON, and in what TOML writes behind an equals sign.

The text is known to be valid: it is scanned after the format's parser accepted it. Grammars:
RFC 8259; https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from harness.nodes.lint.fix.pieces import Member, NotApplicable, Piece
from harness.nodes.models.toml_statements import KEY_PART, decoded_key_part

__all__ = ["JSON", "TOML", "Grammar", "piece_at"]


@dataclass(frozen=True)
class Grammar:
    """What the two formats do not have in common."""

    blank: re.Pattern[str]
    string: re.Pattern[str]
    word: re.Pattern[str]
    key_part: re.Pattern[str]
    decoded: Callable[[str], str]


JSON = Grammar(
    re.compile(r"[ \t\r\n]*"),
    re.compile(r'"(?:\\.|[^"\\])*"'),
    re.compile(r"[^\s,\]}]+"),
    re.compile(r'"(?:\\.|[^"\\])*"'),
    json.loads,
)
TOML = Grammar(
    re.compile(r"(?:[ \t\r\n]|#[^\n]*)*"),
    re.compile(
        r'"{3}(?:\\.|[^\\])*?"{3}"{0,2}|\'{3}.*?\'{3}\'{0,2}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'',
        re.DOTALL,
    ),
    re.compile(r"[^,\]}#\r\n]*[^,\]}#\s]"),  # a date may have a blank within
    KEY_PART,
    decoded_key_part,
)


def piece_at(text: str, position: int, grammar: Grammar) -> Piece:
    """The value that begins behind the blanks at *position*.

    Raises :class:`NotApplicable` where the text is not of that grammar.
    """
    try:
        return _Scan(text, grammar).value(position)
    except (IndexError, RecursionError):
        raise NotApplicable("the value's place was not found") from None


class _Scan:
    def __init__(self, text: str, grammar: Grammar) -> None:
        self.text = text
        self.grammar = grammar

    def skip(self, position: int) -> int:
        match = self.grammar.blank.match(self.text, position)
        return match.end() if match else position

    def value(self, position: int) -> Piece:
        start = self.skip(position)
        if self.text[start] in "{[":
            return self.bracketed(start)
        match = self.grammar.string.match(self.text, start)
        match = match or self.grammar.word.match(self.text, start)
        if match is None:
            raise IndexError
        return Piece("scalar", start, match.end())

    def bracketed(self, start: int) -> Piece:
        mapping = self.text[start] == "{"
        found = Piece("mapping" if mapping else "sequence", start, start, bracketed=True)
        position = self.skip(start + 1)
        while self.text[position] not in "}]":
            if mapping:
                value = self.member(found, position)
            else:
                value = self.value(position)
                found.items.append(value)
            found.entries.append((position, value.end))
            position = self.skip(value.end)
            if self.text[position] == ",":
                position = self.skip(position + 1)
        found.end = position + 1
        return found

    def member(self, mapping: Piece, entry: int) -> Piece:
        """The value of the key at *entry*, which is put into *mapping*; a dotted one into tables
        without a text of their own."""
        parts: list[re.Match[str]] = []
        position = entry
        while not parts or self.text[position] == ".":
            match = self.grammar.key_part.match(self.text, self.skip(position + bool(parts)))
            if match is None:
                raise IndexError
            parts.append(match)
            position = self.skip(match.end())
        value = self.value(position + 1)
        for match in parts[:-1]:
            name = self.grammar.decoded(match[0])
            if name not in mapping.keys:
                table = Piece("mapping", value.start, value.end)
                mapping.keys[name] = Member(entry, match.start(), match.end(), table)
            mapping = mapping.keys[name].value
        last = parts[-1]
        name = self.grammar.decoded(last[0])
        mapping.keys[name] = Member(entry, last.start(), last.end(), value)
        return value
