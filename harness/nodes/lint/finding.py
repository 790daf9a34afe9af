"""A finding: what is wrong, where, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

_LONGEST = 300


class Severity(StrEnum):
    """``error``: it fails or is wrong; ``warning``: it has no effect, or is dangerous;
    ``info``: good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for an error."""
        return ("error", "warning", "info").index(self.value)


@dataclass(frozen=True, order=True)
class Spot:
    """A line and a column of a file, both from 1."""

    line: int = 1
    column: int = 1


Path = tuple[str | int, ...]
"""From the top of a document to a value: keys, and numbers within lists."""


@dataclass(frozen=True)
class KeyEdit:
    """A change of the key at ``path``: ``set`` its value; ``add`` it, with the tables above it (a
    value of None is an empty ``[table]`` of TOML); ``remove`` it; ``rename`` it to ``value``;
    ``headers`` gives the inline or dotted tables below it headers. Lists among the values are
    tuples, so that edits can be compared."""

    verb: Literal["set", "add", "remove", "rename", "headers"]
    path: Path
    value: Any = None


@dataclass(frozen=True)
class ReplaceText:
    """Replace ``old`` with ``new`` on a line, for files that cannot be parsed."""

    line: int
    old: str
    new: str


Edit = KeyEdit | ReplaceText


@dataclass(frozen=True)
class Hit:
    """A place where a rule applies. ``fix`` is what to do here, if it is more specific than the
    rule's own advice; ``edits`` do it."""

    spot: Spot
    what: str
    fix: str = ""
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class LintFinding:
    """A mistake at a position in a file. ``file`` is the name that the user gave."""

    rule: str
    """The rule's stable id, such as ``PPH003``."""
    severity: Severity
    file: str
    spot: Spot
    what: str
    why: str
    fix: str
    reference: str
    releases: tuple[str, ...] = ()
    """The releases that it applies to; empty if it applies to all that were checked."""
    edits: tuple[Edit, ...] = ()
    unreadable: bool = False
    """The file could not be read, so nothing else was checked."""


def printable(text: object, *, longest: int | None = _LONGEST) -> str:
    """*text*, from a file that may be hostile, in one line without control characters."""
    said = str(text)
    said = said if longest is None or len(said) <= longest else f"{said[:longest]}..."
    if said.isprintable():
        return said
    return "".join(c if c.isprintable() else _escaped(c) for c in said)


def _escaped(character: str) -> str:
    return " " if character in "\n\t" else character.encode("unicode_escape", "replace").decode()


def quoted(value: object) -> str:
    """*value*, from a file, in quotes and cut to 80 characters."""
    text = str(value)
    return repr(text if len(text) <= 80 else f"{text[:80]}...")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The item of *known* that *word* is most likely a typo of."""
    from reference_registry.config.section import nearest as found  # only where there is a mistake

    return found(word[:80], known)
