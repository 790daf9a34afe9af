"""The options of pytest that say which reports a run writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Wanted", "add_report_options"]

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
    has_baseline: bool = False
    """Whether the last target is the baseline."""

    @classmethod
    def of(cls, config: pytest.Config) -> Wanted:
        """What the command line says."""
        return cls(
            json=config.getoption("pullproof_json"),
            html=config.getoption("pullproof_html"),
            markdown=config.getoption("pullproof_markdown"),
            record=config.getoption("pullproof_record"),
            no_traces=config.getoption("pullproof_no_traces"),
            slowest=config.getoption("pullproof_slowest"),
            progress=config.getoption("pullproof_progress"),
            has_baseline=config.getoption("pullproof_baseline") is not None,
        )

    def problem(self) -> str | None:
        """What is wrong with the options, in one line, or None."""
        for name, path in (("json", self.json), ("html", self.html), ("markdown", self.markdown)):
            if path is not None and path.is_dir():
                return f"--pullproof-{name}: {path} is a directory; name a file"
            if path is not None and not path.parent.is_dir():
                return f"--pullproof-{name}: {path.parent} is not a directory; create it first"
        if self.slowest < 0:
            return f"--pullproof-slowest: {self.slowest} is negative"
        return None

    def write(self, document: Callable[[], Mapping[str, Any]]) -> list[Path]:
        """Write the files about *document*, which is made only if one is wanted; returns their
        paths. ``OSError``."""
        from harness.report.document import render_json
        from harness.report.markdown import render_markdown
        from harness.report.page import render_html

        paths = []
        for path, render in (
            (self.json, render_json),
            (self.html, render_html),
            (self.markdown, render_markdown),
        ):
            if path is not None:
                path.write_text(render(document()), encoding="utf-8")
                paths.append(path)
        return paths

    @property
    def traces(self) -> bool:
        """Whether scenarios have to keep what they saw in order."""
        return not self.no_traces and (self.json is not None or self.html is not None)
