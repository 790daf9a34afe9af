"""Where the lines of ``garbage-collect`` go, and the bar that a terminal gets beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Display", "display"]

_INTERVAL = 0.1
"""Seconds between two changes of what a terminal shows."""


class Display(Protocol):
    """What a collection is told to tell."""

    def emit(self, line: str) -> None:
        """A line of output."""
        ...

    def watch(self, doing: str, done: int, total: int) -> None:
        """How far it is."""
        ...


@contextmanager
def display(lines: TextIO | None, terminal: TextIO, *, bar: bool = True) -> Iterator[Display]:
    """Lines go to *lines*, if that is not None; a *bar* is drawn where they, or else *terminal*, go
    to a terminal. Into a file or a pipe nothing but the lines is written."""
    shown_on = lines if lines is not None and lines.isatty() else terminal
    if not (bar and shown_on.isatty()):
        yield _Plain(lines)
        return
    # Slow to import, and few want it.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(file=shown_on)
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        shown = _Bar(progress, lines)
        try:
            yield shown
        finally:
            shown.flush()


class _Plain:
    def __init__(self, lines: TextIO | None) -> None:
        self._lines = lines

    def emit(self, line: str) -> None:
        if self._lines is not None:
            self._lines.write(f"{line}\n")

    def watch(self, doing: str, done: int, total: int) -> None:
        pass


class _Bar:
    """Lines are shown above the bar, many at once: drawing for each would take most of the time."""

    def __init__(self, progress: Progress, lines: TextIO | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)
        self._lines = lines
        self._waiting: list[str] = []
        self._drawn = 0.0

    def emit(self, line: str) -> None:
        if self._lines is None:
            return
        if self._lines is self._progress.console.file:
            self._waiting.append(line)
        else:
            self._lines.write(f"{line}\n")

    def watch(self, doing: str, done: int, total: int) -> None:
        if time.monotonic() - self._drawn < _INTERVAL:
            return
        self._progress.update(self._task, description=doing, completed=done, total=total or None)
        self.flush()

    def flush(self) -> None:
        """Show everything."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._progress.console.out("\n".join(waiting), highlight=False)
        self._progress.refresh()
        self._drawn = time.monotonic()
