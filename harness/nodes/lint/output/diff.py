"""What ``--fix`` would do, as a unified diff that ``patch -p1`` and ``git apply`` take."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterable, Iterator

from harness.nodes.lint.fix.repair import Repair

__all__ = ["unified_diff"]


def unified_diff(repairs: Iterable[Repair]) -> Iterator[str]:
    """Its lines, each with its line break. Only a line feed ends a line, as for patch and git."""
    for repair in repairs:
        texts = (repair.before.text, repair.after.text)
        old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in texts)
        name = posixpath.normpath(repair.before.path).lstrip("/")  # git takes no "./" within
        for line in difflib.unified_diff(old, new, _quoted("a/" + name), _quoted("b/" + name)):
            yield line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"


def _quoted(path: str) -> str:
    """*path* as git quotes it, if it is not plain."""
    if path.isprintable() and path.isascii() and '"' not in path and "\\" not in path:
        return path
    raw = path.encode(errors="surrogateescape")
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in raw)
    return f'"{"".join(plain)}"'
