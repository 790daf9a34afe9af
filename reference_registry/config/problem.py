"""What can be wrong with a configuration, as values that print as one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
    """Where a key was written: a file, a line and a column (from 1), or an environment variable."""

    source: str
    line: int | None = None
    column: int | None = field(default=None, compare=False)
    """Where it is known; the line alone says which place it is."""

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing to say about a configuration.

    ``exit_code`` is what the process ends with because of it; None for a warning.
    """

    place: Place
    key: str
    """Full name, such as ``http.debug.addr``; ``YAML`` where the text could not be parsed."""
    what: str
    fix: str = ""
    exit_code: int | None = None
    rule: str = ""
    """For a warning, what it is a case of, such as ``redis-unused``."""

    def __str__(self) -> str:
        """``FILE:LINE: KEY: what is wrong; how to put it right``, without a line break."""
        line = f"{self.place}: {self.key}: {self.what}"
        return " ".join((f"{line}; {self.fix}" if self.fix else line).split())


class ConfigError(Exception):
    """A configuration that cannot be used."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def exit_code(self) -> int:
        """That of the first problem, as a program stops at the first."""
        return next(p.exit_code for p in self.problems if p.exit_code is not None)


class CannotStart(Exception):
    """A valid configuration that cannot be served, as with a port in use or a missing file. The
    command line adds file and line of ``key``.

    ``released_exit_code`` is that of distribution: 2 for its ``panic``, 1 for a fatal log line.
    """

    def __init__(self, key: str, what: str, fix: str = "", *, released_exit_code: int = 1) -> None:
        super().__init__(f"{key}: {what}; {fix}" if fix else f"{key}: {what}")
        self.key = key
        self.what = what
        self.fix = fix
        self.released_exit_code = released_exit_code
