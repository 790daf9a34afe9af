"""YAML text as a tree that knows where everything was written.

The tree is what PyYAML composes, before any value is made of it: scalars keep their text, an alias
is the very node it refers to (so that repetition does not grow the tree), merge keys are
resolved, and repeated keys are remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from reference_registry.config.problem import Place

__all__ = [
    "Entry",
    "Mapping",
    "Repeat",
    "Scalar",
    "Sequence",
    "SyntaxMistake",
    "Tree",
    "parse_tree",
    "parse_trees",
    "repaired",
    "unspaced_key",
]

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
class Entry:
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

    entries: dict[str, Entry] = field(default_factory=dict)
    repeats: tuple[Repeat, ...] = ()


@dataclass(frozen=True)
class Sequence:
    """A list."""

    items: tuple[Entry, ...] = ()


Tree = Scalar | Mapping | Sequence
NOTHING = Scalar("", "null")


def parse_tree(text: str, source: str) -> tuple[Tree, Place | None]:
    """The first YAML document of *text*, and where a second one begins, if any does.

    Raises :class:`SyntaxMistake` for text that is not YAML, or nested too deeply.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_node() if loader.check_node() else None
        more = loader.get_mark().line + 1 if loader.check_node() else None
        tree = _Converter(source).tree(node, 0) if node is not None else NOTHING
    except yaml.YAMLError as error:
        raise mistake_of(error, text) from None
    except RecursionError:
        raise SyntaxMistake(1, "YAML", "nested too deeply", "flatten it") from None
    return tree, None if more is None else Place(source, more)


def parse_trees(text: str, source: str) -> list[Entry]:
    """Every YAML document of *text* that is not empty, and where it begins.

    Raises :class:`SyntaxMistake` as :func:`parse_tree` does.
    """
    try:
        loader, found = yaml.SafeLoader(text), []
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            mark = node.start_mark
            tree = _Converter(source).tree(node, 0)
            if tree != NOTHING:
                found.append(Entry(Place(source, mark.line + 1, mark.column + 1), tree))
    except yaml.YAMLError as error:
        raise mistake_of(error, text) from None
    except RecursionError:
        raise SyntaxMistake(1, "YAML", "nested too deeply", "flatten it") from None
    return found


class _Converter:
    def __init__(self, source: str) -> None:
        self.source = source
        self.done: dict[int, Tree] = {}
        self.open: set[int] = set()

    def tree(self, node: yaml.Node, depth: int) -> Tree:
        known = self.done.get(id(node))
        if known is not None:
            return known
        line = node.start_mark.line + 1
        if id(node) in self.open:
            raise SyntaxMistake(line, "YAML", "an alias refers to itself", "write it out")
        if depth > _DEEPEST:
            raise SyntaxMistake(line, "YAML", "nested too deeply", "flatten it")
        self.open.add(id(node))
        made = self._made(node, depth)
        self.open.remove(id(node))
        self.done[id(node)] = made
        return made

    def _made(self, node: yaml.Node, depth: int) -> Tree:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return Sequence(
                tuple(Entry(self._place(n), self.tree(n, depth + 1)) for n in node.value)
            )
        kind = node.tag.removeprefix(_YAML) if node.tag.startswith(_YAML) else "str"
        return Scalar(str(node.value), kind)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> Mapping:
        merged: dict[str, Entry] = {}
        own: dict[str, Entry] = {}
        repeats: list[Repeat] = []
        for key, value in node.value:
            place = self._place(key)
            if key.tag == _MERGE_TAG:
                for mapping in self._merged(value, depth):
                    merged = {**mapping.entries, **merged}
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise SyntaxMistake(
                    place.line or 1, "YAML", "a key is not a word", "write KEY: VALUE"
                )
            if key.value in own:
                repeats.append(Repeat(key.value, place, own[key.value].place))
            own[key.value] = Entry(place, self.tree(value, depth + 1))
        return Mapping(merged | own, tuple(repeats))

    def _merged(self, node: yaml.Node, depth: int) -> Iterator[Mapping]:
        tree = self.tree(node, depth + 1)
        for candidate in [e.value for e in tree.items] if isinstance(tree, Sequence) else [tree]:
            if not isinstance(candidate, Mapping):
                raise SyntaxMistake(
                    node.start_mark.line + 1,
                    "<<",
                    "what is merged is not a mapping",
                    "write it out",
                )
            yield candidate

    def _place(self, node: yaml.Node) -> Place:
        return Place(self.source, node.start_mark.line + 1, node.start_mark.column + 1)


_UNSPACED = re.compile(r"(?P<before>[ ]*(?:-[ ]+)?(?P<key>[A-Za-z][\w.-]*):)(?!//)(?P<after>\S.*)")
_QUOTED_CONTENT = re.compile(r"'(?!<)[^']{2,}'")
_LOOK_BACK = 3  # lines above the one that the parser names


class SyntaxMistake(Exception):
    """Not YAML. ``line`` counts from 1; ``repair`` is what the line should read, where known."""

    def __init__(
        self, line: int, key: str, what: str, fix: str = "", *, repair: str | None = None
    ) -> None:
        super().__init__(what)
        self.line = line
        self.key = key
        self.what = what
        self.fix = fix
        self.repair = repair


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
            return SyntaxMistake(
                number + 1,
                key,
                "no space after the colon",
                'write "version: 0.1"' if key == "version" else f'write "{key}: ..."',
                repair=repair,
            )
    at = marks[0] if marks else None
    line, column = (at.line + 1, at.column + 1) if at else (1, 1)
    here = lines[line - 1] if line <= len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return SyntaxMistake(line, "YAML", "a tab in the indentation", "indent with spaces")
    what = error.problem or error.context or "not YAML"
    if what.startswith("found undefined alias"):
        return SyntaxMistake(
            line, "YAML", "an alias (*) of nothing", "quote a value that has a star"
        )
    # The parser quotes what it stumbled over, which may be a part of a password.
    what = _QUOTED_CONTENT.sub("...", what)
    return SyntaxMistake(line, "YAML", what, f"look at column {column} and at the line above")


def _suspects(marked: list[int], count: int) -> Iterator[int]:
    """Line numbers from 0: those that the parser names, then those above, nearest first."""
    seen: set[int] = set()
    for start in marked:
        for number in range(start, start - _LOOK_BACK - 1, -1):
            if 0 <= number < count and number not in seen:
                seen.add(number)
                yield number


def repaired(text: str, mistake: SyntaxMistake) -> str | None:
    """*text* with *mistake* put right, so that reading can go on; None where that is unknown."""
    if mistake.repair is None:
        return None
    lines = text.splitlines()
    lines[mistake.line - 1] = mistake.repair
    return "\n".join(lines) + "\n"
