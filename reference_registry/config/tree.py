"""YAML text as a tree that knows where everything was written.

The tree is what PyYAML composes: scalars keep their text, an alias is the very node it refers to
(so that repetition does not grow the tree), merge keys are resolved, and repeated keys are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import yaml

from reference_registry.config.problem import Place

_DEEPEST = 64
_YAML = "tag:yaml.org,2002:"
_MERGE_TAG = f"{_YAML}merge"


@dataclass(frozen=True)
class Scalar:
    """``text`` as written, without quotes. ``kind`` is what YAML 1.1 takes it for: ``str``,
    ``int``, ``float``, ``bool``, ``null``, ``timestamp``."""

    text: str
    kind: str


@dataclass(frozen=True)
class TreeEntry:
    """A value and its place; within a mapping, the place of its key."""

    place: Place
    value: Tree


@dataclass(frozen=True)
class Repeat:
    """A key that was given again, at ``place``; the last value counts."""

    key: str
    place: Place
    first: Place


@dataclass(frozen=True)
class Mapping:
    """Values by key, in the order of the file."""

    entries: dict[str, TreeEntry] = field(default_factory=dict)
    repeats: tuple[Repeat, ...] = ()


@dataclass(frozen=True)
class Sequence:
    """A list."""

    items: tuple[TreeEntry, ...] = ()


Tree = Scalar | Mapping | Sequence
NOTHING = Scalar("", "null")


def parse_tree(text: str, source: str) -> tuple[Tree, Place | None]:
    """The first YAML document of *text*, and where a second one begins, if any.

    Raises :class:`SyntaxMistake` for text that is not YAML, or nested too deeply.
    """
    with _explained(text):
        loader = yaml.SafeLoader(text)
        node = loader.get_node() if loader.check_node() else None
        more = Place(source, loader.get_mark().line + 1) if loader.check_node() else None
        return _Converter(source).tree(node, 0) if node is not None else NOTHING, more


def parse_trees(text: str, source: str) -> list[TreeEntry]:
    """Every YAML document of *text* that is not empty, and where it begins.

    Raises :class:`SyntaxMistake` as :func:`parse_tree` does.
    """
    with _explained(text):
        nodes = yaml.compose_all(text, yaml.SafeLoader)
        entries = [_Converter(source).entry(node) for node in nodes]
        return [entry for entry in entries if entry.value != NOTHING]


@contextmanager
def _explained(text: str) -> Iterator[None]:
    """Raises :class:`SyntaxMistake` for what PyYAML raises for *text*."""
    try:
        yield
    except yaml.YAMLError as error:
        raise mistake_of(error, text) from None
    except RecursionError:
        raise SyntaxMistake(1, "YAML", "nested too deeply", "flatten it") from None


class _Converter:
    """Makes the tree of one document, whose nodes it knows by their ``id``."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.done: dict[int, Tree] = {}
        self.open: set[int] = set()

    def entry(self, node: yaml.Node, depth: int = 0) -> TreeEntry:
        return TreeEntry(self._place(node), self.tree(node, depth))

    def tree(self, node: yaml.Node, depth: int) -> Tree:
        known = self.done.get(id(node))
        if known is not None:
            return known
        if id(node) in self.open:
            raise self._mistake(node, "an alias refers to itself", "write it out")
        if depth > _DEEPEST:
            raise self._mistake(node, "nested too deeply", "flatten it")
        self.open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            made: Tree = self._mapping(node, depth)
        elif isinstance(node, yaml.SequenceNode):
            made = Sequence(tuple(self.entry(item, depth + 1) for item in node.value))
        else:
            kind = node.tag.removeprefix(_YAML) if node.tag.startswith(_YAML) else "str"
            made = Scalar(str(node.value), kind)
        self.open.remove(id(node))
        self.done[id(node)] = made
        return made

    def _mapping(self, node: yaml.MappingNode, depth: int) -> Mapping:
        merged: dict[str, TreeEntry] = {}
        own: dict[str, TreeEntry] = {}
        repeats: list[Repeat] = []
        for key, value in node.value:
            place = self._place(key)
            if key.tag == _MERGE_TAG:
                tree = self.tree(value, depth + 1)
                items = [e.value for e in tree.items] if isinstance(tree, Sequence) else [tree]
                for mapping in items:
                    if not isinstance(mapping, Mapping):
                        what = "what is merged is not a mapping"
                        raise self._mistake(value, what, "write it out", key="<<")
                    merged = {**mapping.entries, **merged}
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise self._mistake(key, "a key is not a word", "write KEY: VALUE")
            if key.value in own:
                repeats.append(Repeat(key.value, place, own[key.value].place))
            own[key.value] = TreeEntry(place, self.tree(value, depth + 1))
        return Mapping(merged | own, tuple(repeats))

    def _mistake(self, node: yaml.Node, what: str, fix: str, key: str = "YAML") -> SyntaxMistake:
        return SyntaxMistake(node.start_mark.line + 1, key, what, fix)

    def _place(self, node: yaml.Node) -> Place:
        return Place(self.source, node.start_mark.line + 1, node.start_mark.column + 1)


_UNSPACED = re.compile(r"(?P<before>[ ]*(?:-[ ]+)?(?P<key>[A-Za-z][\w.-]*):)(?!//)(?P<after>\S.*)")
_QUOTED_CONTENT = re.compile(r"'(?!<)[^']{2,}'")
_LOOK_BACK = 3  # lines above the one that the parser names


@dataclass(eq=False)
class SyntaxMistake(Exception):
    """Text that is not YAML."""

    line: int
    """From 1."""
    key: str
    what: str
    fix: str = ""
    repair: str | None = None
    """What the line should read, where known."""


def unspaced_key(line: str) -> tuple[str, str] | None:
    """The key of a line such as ``version:0.1``, and the line with the space put in."""
    match = _UNSPACED.fullmatch(line.rstrip())
    return (match["key"], f"{match['before']} {match['after']}") if match else None


def mistake_of(error: yaml.YAMLError, text: str) -> SyntaxMistake:
    """*error*, which PyYAML raised for *text*, explained."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return SyntaxMistake(
            line, "YAML", f"a character that YAML forbids, U+{error.character:04X}"
        )
    if not isinstance(error, yaml.MarkedYAMLError):
        return SyntaxMistake(1, "YAML", str(error))
    lines = text.splitlines()
    marks = [mark for mark in (error.problem_mark, error.context_mark) if mark is not None]
    for number in _suspects([mark.line for mark in marks], len(lines)):
        found = unspaced_key(lines[number])
        if found:
            key, repair = found
            value = "0.1" if key == "version" else "..."
            what, fix = "no space after the colon", f'write "{key}: {value}"'
            return SyntaxMistake(number + 1, key, what, fix, repair)
    at = marks[0] if marks else None
    line, column = (at.line + 1, at.column + 1) if at else (1, 1)
    here = lines[line - 1] if line <= len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return SyntaxMistake(line, "YAML", "a tab in the indentation", "indent with spaces")
    what = error.problem or error.context or "not YAML"
    if what.startswith("found undefined alias"):
        what, fix = "an alias (*) of nothing", "quote a value that has a star"
        return SyntaxMistake(line, "YAML", what, fix)
    # The parser quotes what it stumbled over, which may be a part of a password.
    what = _QUOTED_CONTENT.sub("...", what)
    return SyntaxMistake(line, "YAML", what, f"look at column {column} and at the line above")


def _suspects(marked: list[int], count: int) -> Iterator[int]:
    """Line numbers from 0: those that the parser names, then those above, nearest first."""
    for start in marked:
        yield from (n for n in range(start, start - _LOOK_BACK - 1, -1) if 0 <= n < count)


def repaired(text: str, mistake: SyntaxMistake) -> str:
    """*text* with the line of *mistake* replaced by its ``repair``, so that reading can go on."""
    lines = text.splitlines()
    lines[mistake.line - 1] = mistake.repair or ""
    return "\n".join(lines) + "\n"
