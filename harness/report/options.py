"""The options of pytest that say which reports a run writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

_FILES = {
    "json": "the matrix with everything that was seen, as docs/results-schema.json has it",
    "html": "the matrix with everything that was seen, as one page for a browser",
    "markdown": "the totals, the failures and the known deviations, as Markdown",
}


def add_report_options(group: pytest.OptionGroup) -> None:
    """Add them to *group*."""
    for name, what in _FILES.items():
        group.addoption(
            f"--pullproof-{name}", metavar="FILE", type=Path, help=f"write {what}, to FILE"
        )
    group.addoption(
        "--pullproof-no-traces",
        action="store_true",
        help="leave requests, answers and changes of the disk out of JSON and HTML",
    )
    group.addoption(
        "--pullproof-slowest",
        metavar="N",
        type=int,
        default=0,
        help="list the N scenarios that took longest (default: none)",
    )
    group.addoption(
        "--pullproof-progress",
        action="store_true",
        help="show a progress line instead of dots, on a terminal",
    )


@dataclass(frozen=True)
class Wanted:
    """The reports that a run writes and shows; a path is None where no file is wanted."""

    json: Path | None = None
    html: Path | None = None
    markdown: Path | None = None
    record: Path | None = None
    no_traces: bool = False
    slowest: int = 0
    progress: bool = False
    baseline: str | None = None
    """The last target, with which the others are compared."""

    @classmethod
    def of(cls, config: pytest.Config) -> Wanted:
        """What the command line says."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: config.getoption(f"pullproof_{name}") for name in names})

    def problem(self) -> str | None:
        """What is wrong with the options, in one line, or None."""
        for name in _FILES:
            path = getattr(self, name)
            if path is not None and path.is_dir():
                return f"--pullproof-{name}: {path} is a directory; name a file"
            if path is not None and not path.parent.is_dir():
                return f"--pullproof-{name}: {path.parent} is not a directory; create it first"
        return f"--pullproof-slowest: {self.slowest} is negative" if self.slowest < 0 else None

    def write(self, document: Callable[[], Mapping[str, Any]]) -> list[Path]:
        """Write the files about *document*, which is made only if one is wanted; returns their
        paths. ``OSError``."""
        from harness.report.document import render_html, render_json
        from harness.report.markdown import render_markdown

        renderers = (
            (self.json, render_json),
            (self.html, render_html),
            (self.markdown, render_markdown),
        )
        written = [(path, render) for path, render in renderers if path is not None]
        for path, render in written:
            path.write_text(render(document()), encoding="utf-8")
        return [path for path, _ in written]

    @property
    def traces(self) -> bool:
        """Whether scenarios have to keep what they saw in order."""
        return not self.no_traces and (self.json is not None or self.html is not None)
