"""What is wrong with text that is not YAML, said so that the reader finds it.

A YAML parser names the line where it gave up. The usual cause, a colon without a space after it,
stands one line or more above: ``version:0.1`` followed by ``log:`` is one long word to YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

__all__ = ["SyntaxMistake", "mistake_of", "repaired", "unspaced_key"]

_UNSPACED = re.compile(r"(?P<before>[ ]*(?:-[ ]+)?(?P<key>[A-Za-z][\w.-]*):)(?!//)(?P<after>\S.*)")
_QUOTED_CONTENT = re.compile(r"'(?!<)[^']{2,}'")
_LOOK_BACK = 3  # lines above the one that the parser names


class SyntaxMistake(Exception):
    """Not YAML. ``line`` counts from 1; ``repair`` is what the line should read, where known."""

    def __init__(
        self, line: int, key: str, what: str, fix: str = "", *, repair: str | None = None
    ) -> None:
        super().__init__(what)
        self.line = line
        self.key = key
        self.what = what
        self.fix = fix
        self.repair = repair


def unspaced_key(line: str) -> tuple[str, str] | None:
    """The key of a line such as ``version:0.1``, and the line with the space put in."""
    match = _UNSPACED.fullmatch(line.rstrip())
    return (match["key"], f"{match['before']} {match['after']}") if match else None


def mistake_of(error: yaml.YAMLError, text: str) -> SyntaxMistake:
    """*error*, which PyYAML raised for *text*, explained."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return SyntaxMistake(
            line, "YAML", f"a character that YAML forbids, U+{error.character:04X}"
        )
    if not isinstance(error, yaml.MarkedYAMLError):
        return SyntaxMistake(1, "YAML", str(error))
    lines = text.splitlines()
    marks = [mark for mark in (error.problem_mark, error.context_mark) if mark is not None]
    for number in _suspects([mark.line for mark in marks], len(lines)):
        found = unspaced_key(lines[number])
        if found:
            key, repair = found
            return SyntaxMistake(
                number + 1,
                key,
                "no space after the colon",
                'write "version: 0.1"' if key == "version" else f'write "{key}: ..."',
                repair=repair,
            )
    at = marks[0] if marks else None
    line, column = (at.line + 1, at.column + 1) if at else (1, 1)
    here = lines[line - 1] if line <= len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return SyntaxMistake(line, "YAML", "a tab in the indentation", "indent with spaces")
    what = error.problem or error.context or "not YAML"
    if what.startswith("found undefined alias"):
        return SyntaxMistake(
            line, "YAML", "an alias (*) of nothing", "quote a value that has a star"
        )
    # The parser quotes what it stumbled over, which may be a part of a password.
    what = _QUOTED_CONTENT.sub("...", what)
    return SyntaxMistake(line, "YAML", what, f"look at column {column} and at the line above")


def _suspects(marked: list[int], count: int) -> Iterator[int]:
    """Line numbers from 0: those that the parser names, then those above, nearest first."""
    seen: set[int] = set()
    for start in marked:
        for number in range(start, start - _LOOK_BACK - 1, -1):
            if 0 <= number < count and number not in seen:
                seen.add(number)
                yield number


def repaired(text: str, mistake: SyntaxMistake) -> str | None:
    """*text* with *mistake* put right, so that reading can go on; None where that is unknown."""
    if mistake.repair is None:
        return None
    lines = text.splitlines()
    lines[mistake.line - 1] = mistake.repair
    return "\n".join(lines) + "\n"
