"""Comments that suppress a finding: ``# pullproof: ignore[PPH026] why``.

After a value, the comment applies to its line; alone on a line, to the next line that is not blank
or a comment; ``ignore-file[...]`` applies to the whole file. JSON has no comments, and a file that
cannot be read has none: use ``--ignore`` for these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.nodes.lint.documents import Directory, Document, TreeFile, Unread
from harness.nodes.lint.finding import Spot
from harness.nodes.lint.kinds import Kind

__all__ = ["Suppression", "suppressions"]

_WORD = "pullproof:"
_COMMENT = re.compile(
    r"(?:^|(?<=\s))#[ \t]*pullproof:[ \t]*(?P<word>ignore(?:-file)?)\b[ \t]*"
    r"(?:\[(?P<ids>[^\]]*)\])?[ \t]*(?P<reason>.*)"
)
_SAYS_NOTHING = re.compile(r"\s*(?:#.*)?")


@dataclass(frozen=True)
class Suppression:
    """One comment. ``line`` is the line that it is about, None for all of them; without ``ids`` it
    is about nothing."""

    spot: Spot
    line: int | None
    ids: tuple[str, ...]
    reason: str


def suppressions(document: Document) -> Iterator[Suppression]:
    """The suppression comments in *document*, in the order of lines."""
    if _WORD not in document.text or isinstance(document, Directory | Unread):
        return
    if document.kind is Kind.SCHEDULE or (isinstance(document, TreeFile) and document.as_json):
        return
    lines = document.text.splitlines()
    for number, line in enumerate(lines, 1):
        match = _COMMENT.search(line)
        if match is None:
            continue
        about: int | None = number
        if match["word"] == "ignore-file":
            about = None
        elif not line[: match.start()].strip():
            rest = enumerate(lines[number:], number + 1)
            about = next((n for n, text in rest if not _SAYS_NOTHING.fullmatch(text)), 0)
        ids = (match["ids"] or "").upper().replace(",", " ").split()
        spot = Spot(number, match.start() + 1)
        yield Suppression(spot, about, tuple(ids), match["reason"].strip())
