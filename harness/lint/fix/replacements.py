"""Edits of one file: which replacements they are, checked by what the file means afterwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Protocol

from harness.lint.documents import Document, TextFile, TomlFile, TreeFile
from harness.lint.finding import (
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
from harness.lint.fix.meaning import PathEdit, expected_meaning, meaning
from harness.lint.fix.pieces import NotApplicable, Replacement, applied, overlap

__all__ = ["replacements"]

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
    lines = [_in_line(document.text, edit) for edit in edits if isinstance(edit, ReplaceText)]
    changes = [edit for edit in edits if not isinstance(edit, ReplaceText)]
    if not changes:
        return lines
    skipped = len(document.text) - len(document.text.removeprefix(_MARK))
    body = document.text[skipped:]
    found: list[Replacement] = []
    try:
        expected = meaning(document, body)
        for edit in changes:
            expected = expected_meaning(document, expected, edit)
            some = _found(document, body, edit)
            if overlap(some, found):
                raise NotApplicable("its parts are in each other's way")
            found += some
        meant = meaning(document, applied(body, found))
    except NotApplicable:
        raise
    except Exception as error:  # whatever a parser raises for a text that it does not take
        raise NotApplicable("the file could not be read afterwards") from error
    if meant != expected:
        raise NotApplicable("something else in the file would change its meaning")
    moved = [Replacement(one.start + skipped, one.end + skipped, one.text) for one in found]
    return lines + moved


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


def _found(document: Document, body: str, edit: PathEdit) -> list[Replacement]:
    path = edit.path
    text: _Text
    if isinstance(document, TomlFile):
        from harness.lint.fix.toml_edits import TomlText

        text = toml = TomlText(body)
        if isinstance(edit, AddTable):
            return toml.add_table(path)
        if isinstance(edit, AsHeaders):
            return toml.as_headers(path)
    elif isinstance(document, TreeFile) and document.as_json:
        from harness.lint.fix.bracket_pieces import JSON, piece_at
        from harness.lint.fix.styles import JSON_STYLE
        from harness.lint.fix.tree_edits import TreeText

        text = TreeText(body, piece_at(body, 0, JSON), JSON_STYLE)
    elif isinstance(document, TreeFile | TextFile):
        from harness.lint.fix.styles import YAML_STYLE
        from harness.lint.fix.tree_edits import TreeText
        from harness.lint.fix.yaml_pieces import yaml_pieces

        # config.yml is read up to its first document, so that its paths have no number in front.
        number, path = (0, path) if isinstance(document, TextFile) else (path[0], path[1:])
        documents = yaml_pieces(body)
        if not isinstance(number, int) or number >= len(documents):
            raise NotApplicable("the file has no such document")
        text = TreeText(body, documents[number], YAML_STYLE, prunes=True)
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
