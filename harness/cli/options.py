"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.suite.catalogue import Selection
from harness.suite.scenario import Level, Need

__all__ = ["Approach", "approaching", "choosing", "selection"]

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


@dataclass(frozen=True)
class Approach:
    """What the options of :func:`approaching` say, as it was written."""

    login: str | None = field(repr=False)
    headers: tuple[str, ...] = field(repr=False)
    ca: Path | None
    upstream_at: str | None
    allow_writes: bool
    known_as: str | None

    @property
    def arguments(self) -> list[str]:
        """The same for pytest, which runs in this process, where nobody else sees them."""
        values = {
            "login": self.login,
            "ca": self.ca,
            "upstream-at": self.upstream_at,
            "known-as": self.known_as,
        }
        return [
            *(f"--pullproof-{name}={value}" for name, value in values.items() if value is not None),
            *(f"--pullproof-header={header}" for header in self.headers),
            *(["--pullproof-allow-writes"] if self.allow_writes else []),
        ]

    @property
    def workers(self) -> str:
        """One process for each core, but none where all would listen at one address."""
        return "auto" if self.upstream_at is None else "0"


def approaching(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options that say how a ``url:`` target is approached; the command gets them as an
    :class:`Approach` called ``approach``."""

    @wraps(command)
    def approached(**given: Any) -> int:
        approach = Approach(**{one.name: given.pop(one.name) for one in fields(Approach)})
        return command(approach=approach, **given)

    options = (
        click.option(
            "--login",
            metavar="USER:PASSWORD",
            help="For url:URL: log in; @FILE, or PULLPROOF_LOGIN in the environment, keeps it out "
            "of the list of processes.",
        ),
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="'NAME: VALUE'",
            help="For url:URL: send this to it with every request.",
        ),
        click.option(
            "--ca",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="For url:URL: certificates to trust, as PEM, in place of the machine's.",
        ),
        click.option(
            "--upstream-at",
            metavar="HOST:PORT",
            help="For url:URL: where it looks for its upstream; mock upstreams answer there.",
        ),
        click.option(
            "--allow-writes",
            is_flag=True,
            help="For url:URL: it may be pushed to, and what was pushed deleted.",
        ),
        click.option(
            "--known-as",
            metavar="NAME@RELEASE",
            help="For url:URL: what it is, such as distribution@2.8, whose deviations are known.",
        ),
    )
    for option in reversed(options):
        approached = option(approached)
    return approached


def selection(
    ids: tuple[str, ...], theme: tuple[str, ...], level: tuple[str, ...], need: tuple[str, ...]
) -> Selection:
    """What the options of :func:`choosing` say."""
    return Selection.of(ids, theme, level, need)
