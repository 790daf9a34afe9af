"""Positions of the statements of a TOML document: line and column of every header and key.

tomllib gives values without positions, but the order of containerd's hosts depends on the syntax
and line of each. The text must be valid TOML, accepted by tomllib. Grammar:
https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.nodes.models.files import FileProblem

LARGEST_FILE = 512 * 1024
LONGEST_LINE = 8 * 1024
"""In characters. Longer files and lines are refused: tomllib's time grows with the square of a
key's length."""


class InvalidTOML(FileProblem):
    """Text that is not TOML."""


@dataclass(frozen=True)
class Statement:
    """A table header, an array-of-tables header, or the key of a key/value pair.

    ``path`` is complete: for a pair it starts with the path of its header. ``line`` and ``column``
    count from 1 and point at the bracket or the key. ``start`` and ``end`` are offsets in the text,
    of that place and after the statement's last line.
    """

    kind: Literal["table", "array", "pair"]
    path: tuple[str, ...]
    line: int
    column: int
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


_POSITION = re.compile(r"\(at (?:line (\d+), column \d+|end of document)\)")


def read_toml(text: str) -> dict[str, Any]:
    """The document's values. Raises :class:`InvalidTOML`, also for a file that is too large."""
    if len(text) > LARGEST_FILE:
        raise InvalidTOML(f"the file has {len(text)} characters; {LARGEST_FILE} are read at most")
    for number, row in enumerate(text.split("\n"), 1):
        if len(row) > LONGEST_LINE:
            raise InvalidTOML(f"a line of more than {LONGEST_LINE} characters", number)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        position = _POSITION.search(reason)
        end_of_document = text.count("\n") + 1
        line = int(position[1]) if position and position[1] else end_of_document
        raise InvalidTOML(_POSITION.sub("", reason).strip(), line) from None
    except RecursionError:
        raise InvalidTOML("arrays or inline tables are nested too deeply") from None


def is_a(value: object, kind: str) -> bool:
    """Whether *value* is of *kind*, in the words of messages: ``a table``, ``a list of strings``,
    ``a string``, ``a number``, or ``true or false``."""
    if kind == "a list of strings":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    types = {"a table": dict, "a string": str, "a number": int, "true or false": bool}
    return type(value) is types[kind]


_KEY_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = re.compile(rf"{_KEY_PART}(?:[ \t]*\.[ \t]*{_KEY_PART})*")
KEY_PART = re.compile(_KEY_PART)
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KINDS: tuple[Literal["pair", "table", "array"], ...] = ("pair", "table", "array")
_VALUE_PIECE = re.compile(
    r'"{3}(?:\\.|[^\\])*?"{3}"{0,2}|"(?:\\.|[^"\\\n])*"'
    r"|'{3}.*?'{3}'{0,2}|'[^'\n]*'"
    r"""|#[^\n]*|[\[{]|[\]}]|\n|[^"'#\[\]{}\n]+""",
    re.DOTALL,
)


def statements(text: str) -> Iterator[Statement]:
    """The statements of the valid TOML document *text*, in file order.

    Keys inside of inline tables and arrays are part of a value and are not listed.
    """
    header: tuple[str, ...] = ()
    position, line, counted = 0, 1, 0
    while True:
        position = _end(_BLANK, text, position)
        if position >= len(text):
            return
        line += text.count("\n", counted, position)
        counted = position
        column = position - text.rfind("\n", 0, position)
        brackets = 2 if text.startswith("[[", position) else int(text[position] == "[")
        key = _KEY.match(text, _end(_SPACE, text, position + brackets))
        if key is None:
            return
        path = tuple(map(decoded_key_part, KEY_PART.findall(key[0])))
        header = path if brackets else header
        start, position = position, _end_of_value(text, key.end(), depth=brackets)
        whole = path if brackets else header + path
        yield Statement(_KINDS[brackets], whole, line, column, start, position)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def decoded_key_part(part: str) -> str:
    """One part of a key, decoded if it is in quotes."""
    if part.startswith("'"):
        return part[1:-1]
    if part.startswith('"'):
        return part[1:-1] if "\\" not in part else str(tomllib.loads(f"key = {part}")["key"])
    return part


def _end_of_value(text: str, position: int, depth: int = 0) -> int:
    """The end of the line on which the value after *position* is complete."""
    while position < len(text):
        piece = _VALUE_PIECE.match(text, position)
        if piece is None:
            return len(text)
        position = piece.end()
        match piece[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case "\n" if depth <= 0:
                return position
    return position
