"""YAML text as a tree that knows where everything was written.

The tree is what PyYAML composes, before any value is made of it: scalars keep their text, an alias
is the very node it stands for (so that nothing grows however often it is repeated), merge keys are
resolved, and repeated keys are remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from reference_registry.config.problem import Place
from reference_registry.config.syntax import SyntaxMistake, mistake_of

__all__ = ["Entry", "Mapping", "Repeat", "Scalar", "Sequence", "Tree", "parse_tree", "parse_trees"]

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
    """A value and where it stands; within a mapping, where its key stands."""

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
            raise SyntaxMistake(line, "YAML", "an alias stands for itself", "write it out")
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
