"""Edits of one file: which replacements they are, checked by what the file means afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol

from harness.nodes.lint.documents import Document, TextFile, TomlFile, TreeFile
from harness.nodes.lint.finding import (
    AddKey,
    AddTable,
    AsHeaders,
    Edit,
    Path,
    RemoveKey,
    RenameKey,
    ReplaceText,
    SetValue,
)
from harness.nodes.lint.fix.meaning import PathEdit, expected_meaning, meaning
from harness.nodes.lint.fix.pieces import NotApplicable, Replacement, applied, overlap

if TYPE_CHECKING:
    from harness.nodes.lint.fix.toml_edits import TomlText
    from harness.nodes.lint.fix.tree_edits import TreeText

__all__ = ["Editing", "replacements"]

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # YAML's; TOML and JSON have the first two
_MARK = "\ufeff"


class _Text(Protocol):
    """What TOML and the formats that are trees can both do."""

    def set_value(self, path: Path, value: object) -> list[Replacement]: ...
    def rename(self, path: Path, name: str) -> list[Replacement]: ...
    def remove(self, path: Path) -> list[Replacement]: ...
    def add(self, path: Path, value: object) -> list[Replacement]: ...


def replacements(document: Document, edits: Sequence[Edit]) -> list[Replacement]:
    """The replacements in ``document.text`` that *edits* are together. Each of them names its place
    as it is before the others.

    Raises :class:`NotApplicable` where the text does not allow them, or where the text that they
    give would not mean to its parser exactly what it should.
    """
    editing = Editing(document)
    found = editing.found(edits)
    if not all(isinstance(edit, ReplaceText) for edit in edits):
        editing.verify(found, editing.expected(editing.before, edits))
    return found


class Editing:
    """The edits of one document: its text is searched for their places once. Every method raises
    :class:`NotApplicable`."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.body = document.text.removeprefix(_MARK)
        self.skipped = len(document.text) - len(self.body)

    @cached_property
    def before(self) -> Any:
        """What the document means as it is."""
        return self._meaning(self.body)

    def _meaning(self, text: str) -> Any:
        try:
            return meaning(self.document, text)
        except NotApplicable:
            raise
        except Exception as error:  # whatever a parser raises for a text that it does not take
            raise NotApplicable("the file could not be read afterwards") from error

    def found(self, edits: Iterable[Edit]) -> list[Replacement]:
        """The replacements of *edits*, as far as the text alone shows whether they are possible."""
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
                raise NotApplicable("its parts are in each other's way")
            found += some
        return found

    def expected(self, value: Any, edits: Iterable[Edit]) -> Any:
        """What *value*, a meaning of the document, becomes through *edits*."""
        for edit in edits:
            if not isinstance(edit, ReplaceText):
                value = expected_meaning(self.document, value, edit)
        return value

    def verify(self, changes: Iterable[Replacement], expected: Any) -> None:
        """Read the text with *changes* anew, and compare."""
        text = applied(self.document.text, changes).removeprefix(_MARK)
        if self._meaning(text) != expected:
            raise NotApplicable("something else in the file would change its meaning")

    @cached_property
    def _toml(self) -> TomlText:
        from harness.nodes.lint.fix.toml_edits import TomlText

        return TomlText(self.body)

    @cached_property
    def _json(self) -> TreeText:
        from harness.nodes.lint.fix.bracket_pieces import JSON, piece_at
        from harness.nodes.lint.fix.styles import JSON_STYLE
        from harness.nodes.lint.fix.tree_edits import TreeText

        return TreeText(self.body, piece_at(self.body, 0, JSON), JSON_STYLE)

    @cached_property
    def _yaml(self) -> list[TreeText]:
        from harness.nodes.lint.fix.styles import YAML_STYLE
        from harness.nodes.lint.fix.tree_edits import TreeText
        from harness.nodes.lint.fix.yaml_pieces import yaml_pieces

        pieces = yaml_pieces(self.body)
        return [TreeText(self.body, piece, YAML_STYLE, prunes=True) for piece in pieces]

    def _of_path(self, edit: PathEdit) -> list[Replacement]:
        _ = self.before  # what cannot be parsed has no places
        path = edit.path
        text: _Text
        if isinstance(self.document, TomlFile):
            text = self._toml
            if isinstance(edit, AddTable):
                return self._toml.add_table(path)
            if isinstance(edit, AsHeaders):
                return self._toml.as_headers(path)
        elif isinstance(self.document, TreeFile) and self.document.as_json:
            text = self._json
        elif isinstance(self.document, TreeFile | TextFile):
            # config.yml is read up to its first document: its paths have no number in front.
            named = isinstance(self.document, TreeFile)
            number, path = (path[0], path[1:]) if named else (0, path)
            if not isinstance(number, int) or number >= len(self._yaml):
                raise NotApplicable("the file has no such document")
            text = self._yaml[number]
        else:
            raise NotApplicable("this kind of file is not edited")
        match edit:
            case SetValue():
                return text.set_value(path, edit.value)
            case AddKey():
                return text.add(path, edit.value)
            case RenameKey():
                return text.rename(path, edit.name)
            case RemoveKey():
                return text.remove(path)
        raise NotApplicable("this format has no such edit")


def _in_line(text: str, edit: ReplaceText) -> Replacement:
    starts = [0, *(match.end() for match in _BREAK.finditer(text))]
    if edit.line > len(starts):
        raise NotApplicable("the line is not there")
    start = starts[edit.line - 1]
    match = _BREAK.search(text, start)
    at = text.find(edit.old, start, match.start() if match else len(text))
    if at < 0:
        raise NotApplicable("the line reads otherwise")
    # No more than what differs: the line may hold a password, and a fix is printed.
    same = _common(edit.old, edit.new)
    old, new = edit.old[same:], edit.new[same:]
    tail = _common(old[::-1], new[::-1])
    return Replacement(at + same, at + len(edit.old) - tail, new[: len(new) - tail])


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
