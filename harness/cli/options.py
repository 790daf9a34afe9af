"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from harness.scenario import Level, Need
from harness.selection import Selection

__all__ = ["choosing", "selection"]

F = TypeVar("F", bound=Callable[..., Any])

_LEVELS = [level.name for level in Level]
_NEEDS = [need.name.lower().replace("_", "-") for need in Need]


def choosing(command: F) -> F:
    """Add ``--scenario``, ``--theme``, ``--level`` and ``--need``, which choose scenarios."""
    options = (
        click.option(
            "--scenario",
            "-s",
            "ids",
            multiple=True,
            metavar="ID",
            help="Only scenarios whose id matches, such as 'blob.range-*'.",
        ),
        click.option("--theme", multiple=True, metavar="THEME", help="Only this theme: 'ttl'."),
        click.option(
            "--level",
            multiple=True,
            type=click.Choice(_LEVELS, case_sensitive=False),
            help="Only claims of this level.",
        ),
        click.option(
            "--need",
            multiple=True,
            type=click.Choice(_NEEDS, case_sensitive=False),
            help="Only scenarios that need this of a target.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def selection(
    ids: tuple[str, ...], theme: tuple[str, ...], level: tuple[str, ...], need: tuple[str, ...]
) -> Selection:
    """What the options of :func:`choosing` say."""
    return Selection.of(ids, theme, level, need)
