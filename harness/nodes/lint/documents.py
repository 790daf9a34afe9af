"""Files as rules see them: values with their positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from harness.nodes.lint.finding import Edit, Hit, Path, Spot
from harness.nodes.lint.kinds import Kind

if TYPE_CHECKING:
    from harness.nodes.models.toml_statements import Statement
    from reference_registry.config.file import ReadConfig
    from reference_registry.config.problem import Place
    from reference_registry.config.tree import TreeEntry
    from reference_registry.profiles import Profile


def spot_of(place: Place) -> Spot:
    """The line and column of *place*."""
    return Spot(place.line or 1, place.column or 1)


@dataclass(frozen=True)
class Node:
    """A value of a YAML or JSON document, with its path and position."""

    entry: TreeEntry
    path: Path = ()

    @property
    def spot(self) -> Spot:
        return spot_of(self.entry.place)

    @property
    def kind(self) -> str:
        """``mapping``, ``sequence``, or the type of a scalar: ``str``, ``int``, ``bool``..."""
        value = self.entry.value
        if hasattr(value, "entries"):
            return "mapping"
        return "sequence" if hasattr(value, "items") else value.kind

    @property
    def text(self) -> str:
        """The text of a scalar; empty for null, mappings and sequences."""
        value = self.entry.value
        return "" if getattr(value, "kind", "null") == "null" else str(getattr(value, "text", ""))

    def get(self, *keys: str) -> Node | None:
        """The value at *keys*; None if a key is missing or a value is null."""
        node = self
        for key in keys:
            entry = getattr(node.entry.value, "entries", {}).get(key)
            if entry is None:
                return None
            node = Node(entry, (*node.path, key))
        return None if node.kind == "null" else node

    def string(self, *keys: str) -> str:
        """The text at *keys*, empty if there is none."""
        node = self.get(*keys)
        return "" if node is None else node.text

    def items(self, *keys: str) -> Iterator[tuple[str, Node]]:
        """Keys and values of the mapping at *keys*."""
        node = self.get(*keys) if keys else self
        if node is not None and node.kind == "mapping":
            for key, entry in node.entry.value.entries.items():  # type: ignore[union-attr]
                yield key, Node(entry, (*node.path, key))

    def list(self, *keys: str) -> Iterator[Node]:
        """The items of the list at *keys*."""
        node = self.get(*keys) if keys else self
        if node is not None and node.kind == "sequence":
            for number, entry in enumerate(node.entry.value.items):  # type: ignore[union-attr]
                yield Node(entry, (*node.path, number))

    def repeated_keys(self) -> Iterator[tuple[str, Spot]]:
        """Keys of a mapping that are there before, and where they are again."""
        for repeat in getattr(self.entry.value, "repeats", ()):
            yield repeat.key, spot_of(repeat.place)

    def hit(self, what: str, *edits: Edit, fix: str = "") -> Hit:
        """A hit at this value."""
        return Hit(self.spot, what, fix, edits)


@dataclass
class Document:
    """A file that was read. ``path`` is as the user gave it; ``absolute`` is absolute."""

    path: str
    absolute: str
    kind: Kind
    text: str = field(repr=False)


@dataclass
class TextFile(Document):
    """A file that a reader of its own parses: config.yml, htpasswd, scheduler-state.json."""

    readings: dict[str, ReadConfig] = field(default_factory=dict, repr=False)

    @cached_property
    def root(self) -> Node | None:
        """The first YAML document of a config.yml; None if the file is not YAML."""
        from reference_registry.config.tree import SyntaxMistake, parse_trees

        try:
            trees = parse_trees(self.text.removeprefix("\ufeff"), self.path)
        except SyntaxMistake:
            return None
        return Node(trees[0]) if trees else None

    def reading(self, profile: Profile) -> ReadConfig:
        """The config.yml as *profile* reads it."""
        from reference_registry.config.file import read_text

        if profile.name not in self.readings:
            self.readings[profile.name] = read_text(self.text, self.path, profile)
        return self.readings[profile.name]


@dataclass
class TreeFile(Document):
    """YAML or JSON; ``roots`` has one item for each document of a YAML file."""

    roots: tuple[Node, ...] = ()
    as_json: bool = False


def numbered(statements: Iterable[Statement]) -> Iterator[Statement]:
    """The statements with numbers in their paths for the tables of an array."""
    counted: dict[Path, int] = {}
    for statement in statements:
        path: Path = ()
        last = len(statement.path) - 1
        for depth, part in enumerate(statement.path):
            path = (*path, part)
            if depth == last and statement.kind == "array":
                counted[path] = counted.get(path, -1) + 1
            if path in counted:
                path = (*path, counted[path])
        yield replace(statement, path=cast("tuple[str, ...]", path))


def is_strings(value: object) -> bool:
    """Whether *value* is a list of strings."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@dataclass
class TomlFile(Document):
    """TOML: plain values, and the statements that define them."""

    values: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """Headers and keys in file order."""
        from harness.nodes.models.toml_statements import statements

        return tuple(statements(self.text.removeprefix("\ufeff")))

    @cached_property
    def _spots(self) -> dict[Path, Spot]:
        """Where each path is first mentioned; tables of an array are numbered."""
        found: dict[Path, Spot] = {}
        for statement in numbered(self.statements):
            for end in range(1, len(statement.path) + 1):
                spot = Spot(statement.line, statement.column)
                found.setdefault(statement.path[:end], spot)
        return found

    def at(self, *path: str | int) -> Spot:
        """The position of *path*, or of the nearest table around it."""
        while path:
            if path in self._spots:
                return self._spots[path]
            path = path[:-1]
        return Spot()

    def get(self, *path: str | int) -> Any:
        """The value at *path*; None if there is none."""
        value: Any = self.values
        for part in path:
            in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
            if in_list or (isinstance(value, dict) and part in value):
                value = value[part]
            else:
                return None
        return value

    def table(self, *path: str | int) -> dict[str, Any]:
        """The table at *path*, empty if there is none."""
        value = self.get(*path)
        return value if isinstance(value, dict) else {}

    def list(self, *path: str | int) -> list[Any]:
        """The list at *path*, empty if there is none."""
        value = self.get(*path)
        return value if isinstance(value, list) else []

    def string(self, *path: str | int) -> str:
        """The string at *path*, empty if there is none."""
        value = self.get(*path)
        return value if isinstance(value, str) else ""

    def tables(self, *path: str | int) -> Iterator[TomlTable]:
        """The tables in the array at *path*."""
        for number, table in enumerate(self.list(*path)):
            if isinstance(table, dict):
                yield TomlTable(self, (*path, number))

    def hit(self, path: Path | str, what: str, *edits: Edit, fix: str = "") -> Hit:
        """A hit at *path*, or at a key of the top level."""
        at = self.at(path) if isinstance(path, str) else self.at(*path)
        return Hit(at, what, fix, edits)


@dataclass(frozen=True)
class TomlTable:
    """A table of a TOML file."""

    file: TomlFile
    path: Path = ()

    @property
    def values(self) -> dict[str, Any]:
        return self.file.table(*self.path)

    def get(self, *path: str | int) -> Any:
        """The value at *path* in this table; None if there is none."""
        return self.file.get(*self.path, *path)

    def string(self, *path: str | int) -> str:
        """The string at *path* in this table, empty if there is none."""
        return self.file.string(*self.path, *path)

    def table(self, *path: str | int) -> dict[str, Any]:
        """The table at *path* in this table, empty if there is none."""
        return self.file.table(*self.path, *path)

    def hit(self, key: str, what: str, *edits: Edit, fix: str = "") -> Hit:
        """A hit at *key*, or at the table if *key* is empty."""
        path = (*self.path, key) if key else self.path
        return Hit(self.file.at(*path), what, fix, edits)


@dataclass
class Unread(Document):
    """A file that cannot be read or parsed. ``cause`` is the id of the rule that reports it."""

    cause: str = ""
    what: str = ""
    spot: Spot = field(default_factory=Spot)
    edits: tuple[Edit, ...] = ()


@dataclass
class Directory(Document):
    """A directory below certs.d: its name is a registry, and ``names`` are the files in it."""

    names: tuple[str, ...] = ()
    subdirectories: tuple[str, ...] = ()
