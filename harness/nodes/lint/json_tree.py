"""JSON text as the same tree that YAML becomes, so that rules know where everything was written.

The standard library's reader gives values without positions. It is asked first whether the text is
JSON at all; the walk through it here then needs no error handling. Grammar: RFC 8259.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from json.decoder import scanstring  # type: ignore[attr-defined]

from reference_registry.config.problem import Place
from reference_registry.config.tree import Entry, Mapping, Repeat, Scalar, Sequence, Tree

__all__ = ["InvalidJSON", "parse_json"]

_SPACE = re.compile(r"[ \t\n\r]*")
_WORD = re.compile(r"[^\s,\]}]+")
_TRAILING_COMMA = re.compile(r",(?=\s*[\]}])")
_DEEPEST = 64


class InvalidJSON(ValueError):
    """Text that is not JSON, and where it ceases to be. ``trailing_comma`` says that a comma in
    front of a closing bracket is the only thing wrong."""

    def __init__(
        self, reason: str, line: int, column: int, *, trailing_comma: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column
        self.trailing_comma = trailing_comma


def parse_json(text: str, source: str) -> Entry:
    """The document's value. Raises :class:`InvalidJSON`."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise _explained(error, text) from None
    except RecursionError:
        raise InvalidJSON("nested too deeply", 1, 1) from None
    except ValueError as error:  # a number of thousands of digits
        raise InvalidJSON(str(error).partition(";")[0], 1, 1) from None
    return _Walk(text, source).entry(0, 0)[0]


def _explained(error: json.JSONDecodeError, text: str) -> InvalidJSON:
    before = text[: error.pos].rstrip(" \t\r\n,")
    comma = text.find(",", len(before))
    if 0 <= comma <= error.pos and _TRAILING_COMMA.match(text, comma):
        line = text.count("\n", 0, comma) + 1
        column = comma - text.rfind("\n", 0, comma)
        return InvalidJSON(
            "a comma in front of the closing bracket", line, column, trailing_comma=True
        )
    return InvalidJSON(error.msg, error.lineno, error.colno)


class _Walk:
    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.breaks = [-1, *(match.start() for match in re.finditer("\n", text))]

    def place(self, position: int) -> Place:
        line = bisect_right(self.breaks, position - 1)
        return Place(self.source, line, position - self.breaks[line - 1])

    def skip(self, position: int) -> int:
        match = _SPACE.match(self.text, position)
        return match.end() if match else position

    def entry(self, position: int, depth: int) -> tuple[Entry, int]:
        """The value at *position*, and where it ends."""
        start = self.skip(position)
        if depth > _DEEPEST:
            place = self.place(start)
            raise InvalidJSON("nested too deeply", place.line or 1, place.column or 1)
        value: Tree
        match self.text[start]:
            case "{":
                value, end = self.mapping(start + 1, depth)
            case "[":
                value, end = self.sequence(start + 1, depth)
            case '"':
                string, end = scanstring(self.text, start + 1)
                value = Scalar(string, "str")
            case _:
                word = _WORD.match(self.text, start)
                assert word is not None
                value, end = Scalar(word[0], _kind(word[0])), word.end()
        return Entry(self.place(start), value), end

    def mapping(self, position: int, depth: int) -> tuple[Mapping, int]:
        entries: dict[str, Entry] = {}
        repeats: list[Repeat] = []
        position = self.skip(position)
        while self.text[position] != "}":
            place = self.place(position)
            key, position = scanstring(self.text, position + 1)
            value, position = self.entry(self.skip(position) + 1, depth + 1)
            if key in entries:
                repeats.append(Repeat(key, place, entries[key].place))
            entries[key] = Entry(place, value.value)
            position = self.after_comma(position)
        return Mapping(entries, tuple(repeats)), position + 1

    def sequence(self, position: int, depth: int) -> tuple[Sequence, int]:
        items: list[Entry] = []
        position = self.skip(position)
        while self.text[position] != "]":
            item, position = self.entry(position, depth + 1)
            items.append(item)
            position = self.after_comma(position)
        return Sequence(tuple(items)), position + 1

    def after_comma(self, position: int) -> int:
        position = self.skip(position)
        return self.skip(position + 1) if self.text[position] == "," else position


def _kind(word: str) -> str:
    if word in {"true", "false"}:
        return "bool"
    if word == "null":
        return "null"
    return "int" if word.lstrip("-").isdecimal() else "float"
