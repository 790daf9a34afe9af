"""What ``--fix`` would do, as a unified diff that ``patch -p1`` and ``git apply`` take."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterable, Iterator

from harness.nodes.lint.fix.repair import Repair

__all__ = ["unified_diff"]

_NO_BREAK = "\\ No newline at end of file\n"


def unified_diff(repairs: Iterable[Repair]) -> Iterator[str]:
    """Its lines, each with its line break."""
    for repair in repairs:
        old, new = _lines(repair.before.text), _lines(repair.after.text)
        name = posixpath.normpath(repair.before.path).lstrip("/")  # git takes no "./" within
        lines = difflib.unified_diff(old, new, _named("a/" + name), _named("b/" + name))
        for line in lines:
            yield line if line.endswith("\n") else line + "\n" + _NO_BREAK


def _lines(text: str) -> list[str]:
    """As patch and git count them: a line ends at a line feed, and at nothing else."""
    *whole, rest = text.split("\n")
    return [line + "\n" for line in whole] + ([rest] if rest else [])


def _named(path: str) -> str:
    """As git quotes names that are not plain."""
    raw = path.encode(errors="surrogateescape")
    if path.isprintable() and path.isascii() and '"' not in path and "\\" not in path:
        return path
    quoted = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in raw
    )
    return f'"{quoted}"'
