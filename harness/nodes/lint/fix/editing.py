"""Edits of one file: which replacements they are, checked by what the file means afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from harness.nodes.lint.documents import Document, TextFile, TomlFile, TreeFile
from harness.nodes.lint.finding import Edit, KeyEdit, Path, ReplaceText
from harness.nodes.lint.fix.toml_edits import TomlText
from harness.nodes.lint.fix.tree_edits import NotApplicable, Replacement, TreeText, applied, overlap
from harness.nodes.lint.positions import JSON, piece_at, yaml_pieces

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # YAML's; TOML and JSON have the first two
_MARK = "\ufeff"


def replacements(document: Document, edits: Sequence[Edit]) -> list[Replacement]:
    """The replacements in ``document.text`` that *edits* are together.

    Raises :class:`NotApplicable` if the text does not allow them, or would mean something else.
    """
    editing = Editing(document)
    found = editing.found(edits)
    if not all(isinstance(edit, ReplaceText) for edit in edits):
        editing.expect(edits)
        editing.verify(found)
    return found


class Editing:
    """The edits of one document. Every method raises :class:`NotApplicable`."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.body = document.text.removeprefix(_MARK)
        self.skipped = len(document.text) - len(self.body)
        self.is_toml = isinstance(document, TomlFile)
        self.is_json = isinstance(document, TreeFile) and document.as_json

    @cached_property
    def expected(self) -> Any:
        """What the document should mean: at first, what it means as it is."""
        return self._meaning(self.body)

    def _meaning(self, text: str) -> Any:
        try:
            return self._values(text)
        except NotApplicable:
            raise
        except Exception as error:  # whatever a parser raises for a text that is not valid
            raise NotApplicable("the file could not be read afterwards") from error

    def _values(self, text: str) -> Any:
        """Plain values: of TOML, of JSON, or a list of YAML's documents. Scalars of YAML and JSON
        other than strings are pairs of kind and text, as releases read them differently."""
        if self.is_toml:
            from harness.nodes.models.toml_statements import read_toml

            return read_toml(text)
        from harness.nodes.lint.parsing import MOST_VALUES, expanded, parse_json
        from reference_registry.config.tree import parse_trees

        if self.is_json:
            return _plain(parse_json(text, "").value)
        trees = parse_trees(text, "")
        if sum(expanded(tree.value, {}) for tree in trees) > MOST_VALUES:
            raise NotApplicable("aliases expand to too many values")
        return [_plain(tree.value) for tree in trees]

    def expect(self, edits: Iterable[Edit]) -> None:
        """Make *edits* in :attr:`expected`."""
        for edit in edits:
            if isinstance(edit, KeyEdit) and edit.verb != "headers":
                try:
                    self._change(edit)
                except (LookupError, TypeError):
                    raise NotApplicable("there is nothing to edit at that place") from None

    def _change(self, edit: KeyEdit) -> None:
        number, path = self._split(edit.path)
        *above, key = path if number is None else (number, *path)
        value, holders = self.expected, []
        for part in above:
            if edit.verb == "add" and isinstance(value, dict):
                value.setdefault(part, {})
            if value[part] == ("null", ""):
                value[part] = {}
            holders.append((value, part))
            value = value[part]
        new = edit.value if edit.verb == "rename" else key
        if edit.verb in {"rename", "add"} and new in value:
            raise NotApplicable(f"{new} is already there")
        match edit.verb:
            case "rename":
                value[new] = value.pop(key)
            case "remove":
                del value[key]
                while holders and not value and not (self.is_toml or self.is_json):
                    value, key = holders.pop()
                    del value[key]
            case _:
                _ = edit.verb == "add" or value[key]  # which must be there
                value[key] = self._converted(edit.value)

    def _converted(self, value: Any) -> Any:
        """*value* of an edit in the form of a meaning."""
        if value is None:
            return {}
        if isinstance(value, list | tuple):
            return [self._converted(item) for item in value]
        if self.is_toml or isinstance(value, str):
            return value
        kind = "bool" if isinstance(value, bool) else "int"
        return (kind, str(value).lower())

    def verify(self, changes: Iterable[Replacement]) -> None:
        """Read the text with *changes*, and compare it with :attr:`expected`."""
        text = applied(self.document.text, changes).removeprefix(_MARK)
        if self._meaning(text) != self.expected:
            raise NotApplicable("something else in the file would change its meaning")

    def found(self, edits: Iterable[Edit]) -> list[Replacement]:
        """The replacements of *edits*, without checking what the file means afterwards."""
        found: list[Replacement] = []
        for edit in edits:
            if isinstance(edit, ReplaceText):
                found.append(_in_line(self.document.text, edit))
                continue
            try:
                here = self._of_path(edit)
            except (IndexError, RecursionError):
                raise NotApplicable("its place was not found") from None
            some = [Replacement(r.start + self.skipped, r.end + self.skipped, r.text) for r in here]
            if overlap(some, found):
                raise NotApplicable("its parts overlap")
            found += some
        return found

    @cached_property
    def _texts(self) -> Sequence[TomlText | TreeText]:
        """The document in editable form; of YAML, each of its documents."""
        _ = self.expected  # raises if the file cannot be parsed
        if self.is_toml:
            return [TomlText(self.body)]
        if self.is_json:
            return [TreeText(self.body, piece_at(self.body, 0, JSON), "json")]
        return [TreeText(self.body, piece, "yaml") for piece in yaml_pieces(self.body)]

    def _split(self, path: Path) -> tuple[int | None, Path]:
        """The number of the YAML document, and the path within. config.yml is read up to its first
        document: its paths begin without a number."""
        if self.is_toml or self.is_json:
            return None, path
        if isinstance(self.document, TextFile):
            return 0, path
        return int(path[0]), path[1:]

    def _of_path(self, edit: KeyEdit) -> list[Replacement]:
        number, path = self._split(edit.path)
        text = self._texts[number or 0]
        if edit.verb == "headers":
            if isinstance(text, TomlText):
                return text.as_headers(path)
            raise NotApplicable("this format has no such edit")
        if edit.verb == "remove":
            return text.remove(path)
        method = {"set": text.set_value, "add": text.add, "rename": text.rename}[edit.verb]
        return method(path, edit.value)


def _plain(tree: Any) -> Any:
    """Aliases become values of their own: an edit of one must not change the other."""
    if hasattr(tree, "entries"):
        return {key: _plain(entry.value) for key, entry in tree.entries.items()}
    if hasattr(tree, "items"):
        return [_plain(entry.value) for entry in tree.items]
    return tree.text if tree.kind == "str" else (tree.kind, tree.text)


def _in_line(text: str, edit: ReplaceText) -> Replacement:
    starts = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    start, stop = [*starts[edit.line - 1 : edit.line + 1], 0, 0][:2]
    at = text.find(edit.old, start, stop)
    if at < 0:
        raise NotApplicable("the line is not as expected")
    # No more than what differs: the line may hold a password, and a fix is printed.
    old, new, same, tail = edit.old, edit.new, 0, 0
    while old[same : same + 1] == new[same : same + 1] != "":
        same += 1
    while tail < min(len(old), len(new)) - same and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return Replacement(at + same, at + len(old) - tail, new[same : len(new) - tail])
