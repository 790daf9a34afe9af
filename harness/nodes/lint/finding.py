"""What lint says: one finding, where it is, and how it could be put right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "AddKey",
    "AddTable",
    "AsHeaders",
    "Edit",
    "Finding",
    "Path",
    "RemoveKey",
    "RenameKey",
    "ReplaceText",
    "SetValue",
    "Severity",
    "Spot",
    "nearest",
    "printable",
    "quoted",
]

_LONGEST = 300


class Severity(StrEnum):
    """``error``: it fails or is wrong; ``warning``: it does nothing, or is dangerous;
    ``info``: good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the gravest."""
        return ("error", "warning", "info").index(self.value)


@dataclass(frozen=True, order=True)
class Spot:
    """A line and a column of a file, both from 1."""

    line: int = 1
    column: int = 1


Path = tuple[str | int, ...]
"""From the top of a document to a value: keys, and numbers within lists."""


@dataclass(frozen=True)
class SetValue:
    """Give the key at ``path`` another value."""

    path: Path
    value: object


@dataclass(frozen=True)
class AddKey:
    """Add a key that is not there, with the tables above it."""

    path: Path
    value: object


@dataclass(frozen=True)
class AddTable:
    """Add an empty ``[table]`` at the end of a TOML document."""

    path: Path


@dataclass(frozen=True)
class AsHeaders:
    """Write the tables below ``path``, which are inline or dotted, with headers of their own."""

    path: Path


@dataclass(frozen=True)
class RemoveKey:
    """Take out the key at ``path``."""

    path: Path


@dataclass(frozen=True)
class RenameKey:
    """Call the key at ``path`` ``name``, without moving it."""

    path: Path
    name: str


@dataclass(frozen=True)
class ReplaceText:
    """Write ``new`` for ``old`` on a line. For files that cannot be parsed as they are."""

    line: int
    old: str
    new: str


Edit = SetValue | AddKey | AddTable | AsHeaders | RemoveKey | RenameKey | ReplaceText
"""Lists among the values are tuples, so that edits can be compared."""


@dataclass(frozen=True)
class Finding:
    """One thing to say about one place of a file. ``file`` is named as the user named it."""

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
    """The releases of which it is true; empty where it is true of all that were asked about."""
    edits: tuple[Edit, ...] = ()
    unreadable: bool = False
    """The file could not be read, so that nothing else is known of it."""

    @property
    def fixable(self) -> bool:
        return bool(self.edits)


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
