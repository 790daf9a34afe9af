"""The output of ``garbage-collect``: lines, and a progress bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Display", "display"]

_INTERVAL = 0.1
"""Seconds between two updates of a terminal."""


class Display:
    """Prints lines to *lines*, unless that is None, and draws *progress*, unless that is None.

    Lines on the terminal of the bar are shown above it, in batches: drawing once for each line
    takes most of the time.
    """

    def __init__(self, lines: TextIO | None, progress: Progress | None = None) -> None:
        self._lines = lines
        self._progress = progress
        self._task = None if progress is None else progress.add_task("", total=None)
        self._waiting: list[str] = []
        self._drawn = 0.0

    def emit(self, line: str) -> None:
        """Print a line of output."""
        if self._lines is None:
            return
        if self._progress is not None and self._lines is self._progress.console.file:
            self._waiting.append(line)
        else:
            self._lines.write(f"{line}\n")

    def watch(self, doing: str, done: int, total: int) -> None:
        """Update the bar, at most every 0.1 s."""
        if self._progress is None or self._task is None:
            return
        if time.monotonic() - self._drawn >= _INTERVAL:
            self._progress.update(
                self._task, description=doing, completed=done, total=total or None
            )
            self.flush()

    def flush(self) -> None:
        """Show everything."""
        if self._progress is None:
            return
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._progress.console.out("\n".join(waiting), highlight=False)
        self._progress.refresh()
        self._drawn = time.monotonic()


@contextmanager
def display(lines: TextIO | None, terminal: TextIO, *, bar: bool = True) -> Iterator[Display]:
    """Print lines to *lines*, unless that is None, and draw a *bar* if *lines*, or else *terminal*,
    is a terminal. A file or a pipe gets the lines only."""
    shown_on = lines if lines is not None and lines.isatty() else terminal
    if not (bar and shown_on.isatty()):
        yield Display(lines)
        return
    # Slow to import, and rarely needed.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(file=shown_on)
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        shown = Display(lines, progress)
        try:
            yield shown
        finally:
            shown.flush()
