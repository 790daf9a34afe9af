"""The line of a finding with a caret, without control characters and secrets."""

from __future__ import annotations

import re
import unicodedata

from harness.nodes.lint.documents import Document, Unread
from harness.nodes.lint.finding import LintFinding, printable
from harness.nodes.lint.kinds import Kind

__all__ = ["source_lines"]

_SECRET_FILES = frozenset({Kind.HTPASSWD, Kind.LOGINS, Kind.SCHEDULE})
_SECRET_VALUE = re.compile(
    r"""(?ix)
    ( (?: password | passwd | secret | token | auth | credential | cookie | dockerconfigjson
        | dockercfg ) [\w"'.-]* \s* [:=]+ \s* ) [^\s\[{\#] .*
    | ( header s? \s* [:=]+ \s* [\[{] ) .*
    """
)
_USER = re.compile(r"(://)[^\s/@'\"]*@")
_LONG = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")  # base64: a secret of Kubernetes
_WIDEST = 100
_BEFORE = 60
_LONGEST = 1000  # of a line that is longer nothing is shown


def source_lines(document: Document | None, finding: LintFinding) -> tuple[str, str] | None:
    """The line and the line with the caret. None if there is no such line, or if it may contain a
    secret."""
    if document is None or document.kind in _SECRET_FILES or not document.text:
        return None
    if isinstance(document, Unread) and not document.edits:
        return None  # where one mistake hides what is a key and what is a password
    lines = document.text.splitlines()
    if finding.spot.line > len(lines):
        return None
    line = lines[finding.spot.line - 1]
    if len(line) > _LONGEST:
        return None
    column = min(finding.spot.column, len(line) + 1)
    first = max(0, column - _BEFORE)
    front = _masked(line[: column - 1])[first:] if column > 1 else ""
    whole = _masked(line)
    if not whole.startswith(_masked(line[: column - 1])):  # the caret is within what is hidden
        first, front = 0, ""
    shown = printable(whole[first : first + _WIDEST].replace("\ufeff", ""))
    return shown, " " * _width(printable(front)) + "^"


def _masked(line: str) -> str:
    line = _SECRET_VALUE.sub(lambda match: (match[1] or match[2]) + "***", line)
    return _LONG.sub("***", _USER.sub(r"\1***@", line))


def _width(text: str) -> int:
    """The width of *text* in columns of a terminal."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    narrow = sum(unicodedata.combining(c) > 0 for c in text)
    return len(text) + wide - narrow
