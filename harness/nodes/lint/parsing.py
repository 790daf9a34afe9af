"""Parses a file's text into a document, or an :class:`Unread` with the reason. No I/O.

JSON becomes the same tree as YAML: the standard library decides whether the text is JSON, and
``positions`` finds the values.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import Document, Node, TextFile, TomlFile, TreeFile, Unread
from harness.nodes.lint.finding import ReplaceText, Spot, printable
from harness.nodes.lint.kinds import Kind, kind_of

if TYPE_CHECKING:
    from reference_registry.config.tree import Entry, Tree
import json
from bisect import bisect_right

from harness.nodes.lint.positions import JSON, Piece, piece_at
from reference_registry.config.problem import Place
from reference_registry.config.tree import Entry, Mapping, Repeat, Scalar, Sequence, Tree

__all__ = ["LARGEST_FILE", "InvalidJSON", "expanded", "parse_json", "parsed"]


LARGEST_FILE = 1 << 20
"""In bytes; larger files are not read. It is also the limit of a Secret in Kubernetes."""

_LARGEST = {"toml": 512 << 10, "yaml": 256 << 10, "registry": 64 << 10}
_MOST_VALUES = 200_000  # with all aliases expanded
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TOML_KINDS = (Kind.HOSTS, Kind.CONTAINERD, Kind.REGISTRIES)


def parsed(path: str, absolute: str, content: bytes, *, named: bool) -> Document | None:
    """The document in *content*. None for a file of an unknown kind that was found in a directory:
    if the user *named* it, it is an :class:`Unread`."""
    found = _Parser(path, absolute)
    text = content.decode(errors="replace")
    kind = kind_of(absolute, text)
    if kind is None and not named:
        return None
    if len(content) > LARGEST_FILE:
        return found.unread("PPX004", f"larger than {LARGEST_FILE} bytes")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return found.not_utf8(content, error)
    if kind is None:
        return found.unread("PPX009", "unknown kind of file")
    control = _CONTROL.search(text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        column = control.start() - text.rfind("\n", 0, control.start())
        code = f"U+{ord(control[0]):04X}"
        return found.unread("PPX002", f"the control character {code}", Spot(line, column))
    found.text = text
    if kind in _TOML_KINDS:
        return found.toml(kind, text)
    if kind in {Kind.HTPASSWD, Kind.SCHEDULE}:
        return TextFile(path, absolute, kind, text)
    if kind is Kind.REGISTRY:
        return found.registry(text)
    if path.endswith((".yml", ".yaml")):
        return found.yaml(kind, text)
    return found.json(kind, text)


class _Parser:
    def __init__(self, path: str, absolute: str) -> None:
        self.path = path
        self.absolute = absolute
        self.text = ""
        """The decoded text, once it is known to be harmless."""

    def unread(
        self, cause: str, what: str, spot: Spot | None = None, *edits: ReplaceText
    ) -> Unread:
        """A document with the reason why the file was not parsed."""
        where, text = spot or Spot(), self.text
        return Unread(self.path, self.absolute, Kind.INPUT, text, cause, what, where, edits)

    def not_utf8(self, content: bytes, error: UnicodeDecodeError) -> Unread:
        """The position of the first invalid byte, and what is wrong there."""
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return self.unread("PPX001", "UTF-16 with a byte order mark, not UTF-8")
        line = content.count(b"\n", 0, error.start) + 1
        begin = content.rfind(b"\n", 0, error.start) + 1
        column = len(content[begin : error.start].decode()) + 1
        half = error.end == len(content) and error.reason == "unexpected end of data"
        what = "ends in the middle of a character" if half else "a byte that is not UTF-8"
        return self.unread("PPX001", what, Spot(line, column))

    def too_large(self, text: str, limit: str) -> Unread | None:
        most = _LARGEST[limit]
        too_large = len(text) > most
        return (
            self.unread("PPX004", f"{len(text)} characters; the limit is {most}")
            if too_large
            else None
        )

    def toml(self, kind: Kind, text: str) -> Document:
        """A document of TOML."""
        from harness.nodes.models.toml_statements import InvalidTOML, read_toml

        if large := self.too_large(text, "toml"):
            return large
        try:
            values = read_toml(text.removeprefix("\ufeff"))
        except InvalidTOML as error:
            cause = "PPX005" if "nested" in error.reason else "PPX003"
            spot = Spot(error.line or 1)
            return self.unread(cause, f"not TOML: {printable(error.reason)}", spot)
        return TomlFile(self.path, self.absolute, kind, text, values)

    def registry(self, text: str) -> Document:
        """A config.yml, which is read once for each release."""
        large = self.too_large(text, "registry")
        return large or TextFile(self.path, self.absolute, Kind.REGISTRY, text)

    def yaml(self, kind: Kind, text: str) -> Document:
        """A document of YAML."""
        from reference_registry.config.tree import SyntaxMistake, parse_trees

        if large := self.too_large(text, "yaml"):
            return large
        try:
            trees = parse_trees(text.removeprefix("\ufeff"), self.path)
        except SyntaxMistake as mistake:
            return self._not_yaml(mistake, text)
        return self._tree(kind, text, trees)

    def _not_yaml(self, mistake: object, text: str) -> Unread:
        from reference_registry.config.tree import SyntaxMistake

        assert isinstance(mistake, SyntaxMistake)
        spot = Spot(mistake.line)
        if "nested" in mistake.what or "alias refers to itself" in mistake.what:
            return self.unread("PPX005", mistake.what, spot)
        what = printable(f"not YAML: {mistake.key}: {mistake.what}")
        if mistake.repair is None:
            return self.unread("PPX003", what, spot)
        old = text.splitlines()[mistake.line - 1]
        edit = ReplaceText(mistake.line, old, mistake.repair)
        return self.unread("PPX003", what, spot, edit)

    def json(self, kind: Kind, text: str) -> Document:
        """A document of JSON."""

        try:
            tree = parse_json(text, self.path)
        except InvalidJSON as error:
            spot = Spot(error.line, error.column)
            if error.trailing_comma:
                old = text.split("\n")[error.line - 1]
                new = old[: error.column - 1] + old[error.column :]
                edit = ReplaceText(error.line, old, new)
                return self.unread("PPX010", error.reason, spot, edit)
            cause = "PPX005" if "nested" in error.reason else "PPX003"
            return self.unread(cause, f"not JSON: {printable(error.reason)}", spot)
        return self._tree(kind, text, [tree], as_json=True)

    def _tree(
        self, kind: Kind, text: str, trees: list[Entry], *, as_json: bool = False
    ) -> Document:
        values = sum(expanded(tree.value, {}) for tree in trees)
        if values > _MOST_VALUES:
            return self.unread("PPX005", f"aliases expand to more than {_MOST_VALUES} values")
        roots = tuple(Node(tree, () if as_json else (number,)) for number, tree in enumerate(trees))
        return TreeFile(self.path, self.absolute, kind, text, roots, as_json)


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
