"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.suite.catalogue import Selection
from harness.suite.scenario import Level, Need

__all__ = ["AccessOptions", "access_options", "complete_target", "selection_options"]

_LEVELS = [level.name.lower() for level in Level]
_NEEDS = [need.name.lower().replace("_", "-") for need in Need]
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completing(words: Callable[[], list[str]]) -> Complete:
    """A completion that offers those of *words* that begin with what was typed."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(word) for word in words() if word.startswith(incomplete)]

    return complete


def _ids() -> list[str]:
    from harness.suite.catalogue import declared

    return [scenario.id for scenario in declared()]


def _themes() -> list[str]:
    return sorted({name.partition(".")[0] for name in _ids()})


def _targets() -> list[str]:
    from reference_registry.profiles import PROFILES

    profiles = [f"reference@{name}" for name in PROFILES]
    return ["reference", *profiles, "binary:", "container:", "drayage", "url:", "recording:"]


complete_target = _completing(_targets)


def selection_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add ``--scenario``, ``--theme``, ``--level`` and ``--need``. The command gets a checked
    :class:`Selection` called ``chosen``."""

    @wraps(command)
    def choose(**given: Any) -> int:
        from harness.suite.catalogue import declared

        words = [given.pop(name) for name in ("ids", "themes", "levels", "needs")]
        try:
            chosen = Selection.of(*words)
            if chosen.ids or chosen.themes:
                chosen.check(declared())
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return command(chosen=chosen, **given)

    options = (
        ("--scenario", "ids", "PATTERN", _ids, "Only ids that match this shell pattern.", "-s"),
        ("--theme", "themes", "THEME", _themes, "Only scenarios of this theme."),
        ("--level", "levels", "LEVEL", lambda: _LEVELS, "Only claims of this level."),
        ("--need", "needs", "NEED", lambda: _NEEDS, "Only scenarios with this need."),
    )
    wrapped: Callable[..., int] = choose
    for name, key, metavar, words, text, *short in reversed(options):
        wrapped = click.option(
            name, key, *short, multiple=True, metavar=metavar,
            shell_complete=_completing(words), help=f"{text} Repeatable.",
        )(wrapped)  # fmt: skip
    return wrapped


@dataclass(frozen=True)
class AccessOptions:
    """The values of :func:`access_options`, as written on the command line."""

    login: str | None = field(repr=False)
    headers: tuple[str, ...] = field(repr=False)
    ca: Path | None
    upstream_at: str | None
    allow_writes: bool
    known_as: str | None

    @property
    def arguments(self) -> list[str]:
        """The same as arguments of pytest, which runs in this process: no process list shows
        them."""
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
        """The default of ``--workers``: one for each core, or none where all would listen at one
        address."""
        return "auto" if self.upstream_at is None else "0"


def access_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options for ``url:`` targets; the command gets an :class:`AccessOptions` called
    ``access``."""

    @wraps(command)
    def approached(**given: Any) -> int:
        access = AccessOptions(**{one.name: given.pop(one.name) for one in fields(AccessOptions)})
        return command(access=access, **given)

    options = (
        click.option(
            "--login",
            metavar="USER:PASSWORD",
            help="For url:URL: log in. @FILE, or PULLPROOF_LOGIN in the environment, keeps the "
            "password out of the process list.",
        ),
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="'NAME: VALUE'",
            help="For url:URL: send this header with every request. Repeatable.",
        ),
        click.option(
            "--ca",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="For url:URL: CA certificates to trust (PEM), in place of the system's.",
        ),
        click.option(
            "--upstream-at",
            metavar="HOST:PORT",
            help="For url:URL: the address of its upstream, where mock upstreams then listen.",
        ),
        click.option(
            "--allow-writes",
            is_flag=True,
            help="For url:URL: allow scenarios to push, and to delete what they pushed.",
        ),
        click.option(
            "--known-as",
            metavar="NAME@RELEASE",
            help="For url:URL: its implementation and release, such as distribution@2.8, whose "
            "known deviations then count.",
        ),
    )
    wrapped: Callable[..., int] = approached
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped
