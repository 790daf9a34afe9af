"""JSON text as the same tree that YAML becomes, so that rules know where everything was written.

The standard library's reader decides whether the text is JSON; ``positions`` then finds its values.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right

from harness.nodes.lint.positions import JSON, Piece, piece_at
from reference_registry.config.problem import Place
from reference_registry.config.tree import Entry, Mapping, Repeat, Scalar, Sequence, Tree

__all__ = ["InvalidJSON", "parse_json"]

_TRAILING_COMMA = re.compile(r",(?=\s*[\]}])")
_DEEPEST = 64


class InvalidJSON(ValueError):
    """Text that is not JSON, and where. ``trailing_comma``: a comma in front of a closing
    bracket is the first mistake."""

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
    try:
        root = piece_at(text, 0, JSON)
    except RecursionError:
        raise InvalidJSON("nested too deeply", 1, 1) from None
    tree = _Tree(text, source)
    return Entry(tree.place(root.start), tree.tree(root))


def _explained(error: json.JSONDecodeError, text: str) -> InvalidJSON:
    before = text[: error.pos].rstrip(" \t\r\n,")
    comma = text.find(",", len(before))
    if 0 <= comma <= error.pos and _TRAILING_COMMA.match(text, comma):
        line = text.count("\n", 0, comma) + 1
        column = comma - text.rfind("\n", 0, comma)
        return InvalidJSON("trailing comma", line, column, trailing_comma=True)
    return InvalidJSON(error.msg, error.lineno, error.colno)


class _Tree:
    """Makes the tree of the positions of its values."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.breaks = [-1, *(match.start() for match in re.finditer("\n", text))]

    def place(self, position: int) -> Place:
        line = bisect_right(self.breaks, position - 1)
        return Place(self.source, line, position - self.breaks[line - 1])

    def tree(self, piece: Piece, depth: int = 0) -> Tree:
        if depth > _DEEPEST:
            place = self.place(piece.start)
            raise InvalidJSON("nested too deeply", place.line or 1, place.column or 1)
        if piece.kind == "sequence":
            items = (Entry(self.place(p.start), self.tree(p, depth + 1)) for p in piece.items)
            return Sequence(tuple(items))
        if piece.kind == "mapping":
            entries = {
                key: Entry(self.place(member.start), self.tree(member.value, depth + 1))
                for key, member in piece.keys.items()
            }
            repeats = (Repeat(k, self.place(m.start), entries[k].place) for k, m in piece.repeats)
            return Mapping(entries, tuple(repeats))
        text = self.text[piece.start : piece.end]
        if text.startswith('"'):
            return Scalar(json.loads(text), "str")
        return Scalar(text, _kind(text))


def _kind(word: str) -> str:
    if word in {"true", "false"}:
        return "bool"
    if word == "null":
        return "null"
    return "int" if word.lstrip("-").isdecimal() else "float"
