"""Parses a file's text into a document, or an :class:`Unread` with the reason. No I/O.

JSON becomes the same tree as YAML: the standard library decides whether the text is JSON, and
``positions`` finds the values.
"""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_right
from typing import Any

from harness.nodes.lint.documents import (
    Document,
    Node,
    TextFile,
    TomlFile,
    TreeFile,
    Unread,
    spot_of,
)
from harness.nodes.lint.finding import ReplaceText, Spot, printable
from harness.nodes.lint.kinds import Kind, kind_of
from harness.nodes.lint.positions import JSON, Piece, piece_at
from harness.nodes.models.toml_statements import InvalidTOML, read_toml
from reference_registry.config.problem import Place
from reference_registry.config.tree import (
    Mapping,
    Repeat,
    Scalar,
    Sequence,
    SyntaxMistake,
    Tree,
    TreeEntry,
    parse_trees,
)

LARGEST_FILE = 1 << 20
"""In bytes; larger files are not read. It is also the limit of a Secret in Kubernetes."""

_LARGEST = {
    **dict.fromkeys((Kind.HOSTS, Kind.CONTAINERD, Kind.REGISTRIES), 512 << 10),
    Kind.REGISTRY: 64 << 10,
}
_LARGEST_YAML = 256 << 10
"""In characters; JSON has no such limit."""
MOST_VALUES = 200_000
"""With all aliases expanded."""
_YAML = (".yml", ".yaml")
_START = Spot()
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class _Unreadable(Exception):
    """Why a file was not parsed: the id of the rule, what is wrong, and where."""

    def __init__(self, cause: str, what: str, spot: Spot = _START, *edits: ReplaceText) -> None:
        super().__init__(what)
        self.cause = cause
        self.spot = spot
        self.edits = edits


def parsed(path: str, absolute: str, content: bytes, *, named: bool) -> Document | None:
    """The document in *content*. None for a file of an unknown kind that was found in a directory:
    if the user *named* it, it is an :class:`Unread`."""
    text = content.decode(errors="replace")
    kind = kind_of(absolute, text)
    if kind is None and not named:
        return None
    shown = ""  # the text, once it is known to be harmless
    try:
        _check_bytes(content)
        if kind is None:
            raise _Unreadable("PPX009", "unknown kind of file")
        _check_characters(text)
        shown = text
        limit = _LARGEST.get(kind, _LARGEST_YAML if path.endswith(_YAML) else LARGEST_FILE)
        if len(text) > limit:
            raise _Unreadable("PPX004", f"{len(text)} characters; the limit is {limit}")
        if kind in {Kind.HOSTS, Kind.CONTAINERD, Kind.REGISTRIES}:
            return TomlFile(path, absolute, kind, text, _toml(text))
        if kind in {Kind.HTPASSWD, Kind.SCHEDULE, Kind.REGISTRY}:
            return TextFile(path, absolute, kind, text)
        if path.endswith(_YAML):
            roots = tuple(Node(tree, (n,)) for n, tree in enumerate(_yaml(text, path)))
            as_json = False
        else:
            roots, as_json = (Node(_json(text, path)),), True
        if sum(expanded(root.entry.value, {}) for root in roots) > MOST_VALUES:
            raise _Unreadable("PPX005", f"aliases expand to more than {MOST_VALUES} values")
    except _Unreadable as why:
        known = (why.cause, str(why), why.spot, why.edits)
        return Unread(path, absolute, Kind.INPUT, shown, *known)
    return TreeFile(path, absolute, kind, text, roots, as_json)


def _check_bytes(content: bytes) -> None:
    """Raises for a file that is too large, or not UTF-8."""
    if len(content) > LARGEST_FILE:
        raise _Unreadable("PPX004", f"larger than {LARGEST_FILE} bytes")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise _Unreadable("PPX001", "UTF-16 with a byte order mark, not UTF-8") from None
        line = content.count(b"\n", 0, error.start) + 1
        begin = content.rfind(b"\n", 0, error.start) + 1
        spot = Spot(line, len(content[begin : error.start].decode()) + 1)
        half = error.end == len(content) and error.reason == "unexpected end of data"
        what = "ends in the middle of a character" if half else "a byte that is not UTF-8"
        raise _Unreadable("PPX001", what, spot) from None


def _check_characters(text: str) -> None:
    if control := _CONTROL.search(text):
        what = f"the control character U+{ord(control[0]):04X}"
        raise _Unreadable("PPX002", what, _spot_of(text, control.start()))


def _spot_of(text: str, at: int) -> Spot:
    return Spot(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def _toml(text: str) -> dict[str, Any]:
    try:
        return read_toml(text.removeprefix("\ufeff"))
    except InvalidTOML as error:
        raise _syntax("TOML", error.reason, Spot(error.line or 1)) from None


def _syntax(form: str, reason: str, spot: Spot) -> _Unreadable:
    cause = "PPX005" if "nested" in reason else "PPX003"
    return _Unreadable(cause, f"not {form}: {printable(reason)}", spot)


def _yaml(text: str, path: str) -> list[TreeEntry]:
    try:
        return parse_trees(text.removeprefix("\ufeff"), path)
    except SyntaxMistake as mistake:
        spot = Spot(mistake.line)
        if "nested" in mistake.what or "alias refers to itself" in mistake.what:
            raise _Unreadable("PPX005", mistake.what, spot) from None
        edits = []
        if mistake.repair is not None:
            old = text.splitlines()[mistake.line - 1]
            edits = [ReplaceText(mistake.line, old, mistake.repair)]
        what = printable(f"not YAML: {mistake.key}: {mistake.what}")
        raise _Unreadable("PPX003", what, spot, *edits) from None


def _json(text: str, path: str) -> TreeEntry:
    try:
        return parse_json(text, path)
    except InvalidJSON as error:
        spot = error.spot
        if not error.trailing_comma:
            raise _syntax("JSON", error.reason, spot) from None
        old = text.split("\n")[spot.line - 1]
        edit = ReplaceText(spot.line, old, old[: spot.column - 1] + old[spot.column :])
        raise _Unreadable("PPX010", error.reason, spot, edit) from None


def expanded(tree: Tree, known: dict[int, int]) -> int:
    """The number of values in *tree* with all aliases expanded; *known* caches it by ``id``."""
    if id(tree) not in known:
        children = getattr(tree, "entries", {}).values() or getattr(tree, "items", ())
        known[id(tree)] = 1 + sum(expanded(child.value, known) for child in children)
    return known[id(tree)]


_TRAILING_COMMA = re.compile(r",(?=\s*[\]}])")
_DEEPEST = 64


class InvalidJSON(ValueError):
    """Text that is not JSON, and where. ``trailing_comma``: a comma in front of a closing
    bracket is the first mistake."""

    def __init__(self, reason: str, spot: Spot = _START, *, trailing_comma: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.spot = spot
        self.trailing_comma = trailing_comma


def parse_json(text: str, source: str) -> TreeEntry:
    """The document's value. Raises :class:`InvalidJSON`."""
    try:
        json.loads(text)
        root = piece_at(text, 0, JSON)
    except json.JSONDecodeError as error:
        raise _explained(error, text) from None
    except RecursionError:
        raise InvalidJSON("nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise InvalidJSON(str(error).partition(";")[0]) from None
    tree = _Tree(text, source)
    return TreeEntry(tree.place(root.start), tree.tree(root))


def _explained(error: json.JSONDecodeError, text: str) -> InvalidJSON:
    before = text[: error.pos].rstrip(" \t\r\n,")
    comma = text.find(",", len(before))
    if 0 <= comma <= error.pos and _TRAILING_COMMA.match(text, comma):
        return InvalidJSON("trailing comma", _spot_of(text, comma), trailing_comma=True)
    return InvalidJSON(error.msg, Spot(error.lineno, error.colno))


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
            raise InvalidJSON("nested too deeply", spot_of(self.place(piece.start)))
        if piece.kind == "sequence":
            items = (TreeEntry(self.place(p.start), self.tree(p, depth + 1)) for p in piece.items)
            return Sequence(tuple(items))
        if piece.kind == "mapping":
            entries = {
                key: TreeEntry(self.place(member.start), self.tree(member.value, depth + 1))
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
