"""Text from files and hosts, made harmless for terminals and documents.

Control characters could move the cursor or hide words, and so could characters that change the
direction of writing: both are shown as escapes.
"""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str, *, lines: bool = False) -> str:
    """*text* with everything invisible written as an escape; *lines* keeps line feeds."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter
        if (lines and letter == "\n") or unicodedata.category(letter) not in _HIDDEN
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in text
    )
