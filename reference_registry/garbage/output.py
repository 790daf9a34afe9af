"""The output of ``garbage-collect``: lines, and a progress bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_INTERVAL = 0.1
"""Seconds between two updates of a terminal."""


@contextmanager
def display(
    lines: TextIO | None, terminal: TextIO, *, bar: bool = True
) -> Iterator[tuple[Callable[[str], None], Callable[[str, int, int], None]]]:
    """A function that prints a line of output, and one that updates the progress (what is being
    done, how much, of how much).

    Lines go to *lines*, unless that is None. A *bar* is drawn if *lines*, or else *terminal*, is a
    terminal; a file or a pipe gets the lines only.
    """

    def emit(line: str) -> None:
        if lines is not None:
            lines.write(f"{line}\n")

    shown_on = lines if lines is not None and lines.isatty() else terminal
    if not (bar and shown_on.isatty()):
        yield emit, lambda *_: None
        return
    # Slow to import, and rarely needed.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(file=shown_on)
    # Drawing once for each line would take most of the time, so they are shown in batches.
    waiting: list[str] = []
    drawn = 0.0

    def flush() -> None:
        nonlocal drawn
        if waiting:
            console.out("\n".join(waiting), highlight=False)
            waiting.clear()
        progress.refresh()
        drawn = time.monotonic()

    def watch(doing: str, done: int, total: int) -> None:
        if time.monotonic() - drawn >= _INTERVAL:
            progress.update(task, description=doing, completed=done, total=total or None)
            flush()

    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        task = progress.add_task("", total=None)
        try:
            yield (waiting.append if lines is shown_on else emit), watch
        finally:
            flush()
