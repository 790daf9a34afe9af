"""What a text means to its format's parser, and what it should mean once an edit was made."""

from __future__ import annotations

from typing import Any

from harness.nodes.lint.documents import Document, TextFile, TomlFile, TreeFile
from harness.nodes.lint.finding import (
    AddKey,
    AddTable,
    AsHeaders,
    Path,
    RemoveKey,
    RenameKey,
    SetValue,
)
from harness.nodes.lint.fix.pieces import NotApplicable

__all__ = ["PathEdit", "expected_meaning", "meaning"]

PathEdit = SetValue | AddKey | AddTable | AsHeaders | RemoveKey | RenameKey
_MOST_VALUES = 200_000  # what lint reads of a tree; config.yml has no such bound while it is read


def meaning(document: Document, text: str) -> Any:
    """Plain values: of TOML, of JSON, or a list of YAML's documents. Numbers and the like of YAML
    and JSON are pairs of their kind and their text, as releases differ in what they make of them.

    Raises whatever the format's parser raises for *text*.
    """
    if isinstance(document, TomlFile):
        from harness.nodes.models.toml_statements import read_toml

        return read_toml(text)
    if isinstance(document, TreeFile) and document.as_json:
        from harness.nodes.lint.json_tree import parse_json

        return _plain(parse_json(text, "").value, {})
    from harness.nodes.lint.parsing import expanded
    from reference_registry.config.tree import parse_trees

    trees = parse_trees(text, "")
    if sum(expanded(tree.value, {}) for tree in trees) > _MOST_VALUES:
        raise NotApplicable("aliases stand for too many values")
    return [_plain(tree.value, {}) for tree in trees]


def _plain(tree: Any, known: dict[int, Any]) -> Any:
    if id(tree) not in known:
        if hasattr(tree, "entries"):
            made: Any = {key: _plain(entry.value, known) for key, entry in tree.entries.items()}
        elif hasattr(tree, "items"):
            made = [_plain(entry.value, known) for entry in tree.items]
        else:
            made = tree.text if tree.kind == "str" else (tree.kind, tree.text)
        known[id(tree)] = made
    return known[id(tree)]


def expected_meaning(document: Document, before: Any, edit: PathEdit) -> Any:
    """What *before* is to become through *edit*. Raises :class:`NotApplicable`."""
    if isinstance(edit, AsHeaders):
        return before
    path: Path = (0, *edit.path) if isinstance(document, TextFile) else edit.path
    yaml = isinstance(document, TextFile | TreeFile) and not getattr(document, "as_json", False)
    return _Change(edit, plain=isinstance(document, TomlFile), prunes=yaml).at(before, path)


class _Change:
    def __init__(self, edit: PathEdit, *, plain: bool, prunes: bool) -> None:
        self.edit = edit
        self.plain = plain
        self.prunes = prunes

    def at(self, value: Any, path: Path) -> Any:
        """*value* with the edit made at *path* within; *value* itself stays as it is."""
        key, *rest = path
        if isinstance(value, list) and isinstance(key, int) and key < len(value):
            inner = self.at(value[key], tuple(rest)) if rest else self.value()
            return [*value[:key], inner, *value[key + 1 :]]
        adding = isinstance(self.edit, AddKey | AddTable)
        if adding and value == ("null", ""):
            value = {}
        if not isinstance(value, dict) or (key not in value and not adding):
            raise NotApplicable("there is nothing at that place")
        if not rest:
            return self.last(value, key)
        inner = self.at(value.get(key, {}), tuple(rest))
        if self.prunes and isinstance(self.edit, RemoveKey) and inner in ({}, []):
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: inner}

    def last(self, value: dict[Any, Any], key: Any) -> Any:
        match self.edit:
            case RenameKey(_, name):
                return {name if k == key else k: v for k, v in value.items()}
            case RemoveKey():
                return {k: v for k, v in value.items() if k != key}
            case AddTable():
                return {**value, key: value.get(key, {})}
        return {**value, key: self.value()}

    def value(self) -> Any:
        if not isinstance(self.edit, SetValue | AddKey):
            raise NotApplicable("an item of a list has no name")
        return self.converted(self.edit.value)

    def converted(self, value: Any) -> Any:
        """*value* of an edit as :func:`meaning` gives it."""
        if isinstance(value, list | tuple):
            return [self.converted(item) for item in value]
        if self.plain or isinstance(value, str):
            return value
        if isinstance(value, bool):
            return ("bool", str(value).lower())
        return ("int", str(value))
