"""Options that several commands share with the pytest plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce, wraps
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.cli.common import FILE
from harness.plugin.options import ACCESS_OPTIONS, SELECTION_OPTIONS, access_of
from harness.suite.catalogue import Selection, declared
from harness.suite.scenario import Level, Need
from harness.targets import TargetAccess
from reference_registry.profiles import PROFILES

Command = Callable[..., int]
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_TARGETS = [
    *("reference", *(f"reference@{name}" for name in PROFILES)),
    *("binary:", "container:", "drayage", "url:", "recording:"),
]
_WORDS: Mapping[str, Callable[[], list[str]]] = {
    "scenario": lambda: [scenario.id for scenario in declared()],
    "theme": lambda: sorted({scenario.theme for scenario in declared()}),
    "level": lambda: [level.name.lower() for level in Level],
    "need": lambda: [need.name.lower().replace("_", "-") for need in Need],
}
"""What completes each option that chooses scenarios."""


def _completing(words: Callable[[], list[str]]) -> Complete:
    """A completion that offers those of *words* that begin with what was typed."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(word) for word in words() if word.startswith(incomplete)]

    return complete


complete_target = _completing(lambda: _TARGETS)


def selection_options(command: Command) -> Command:
    """Add ``--scenario``, ``--theme``, ``--level`` and ``--need``. The command gets a checked
    :class:`Selection` called ``chosen``."""

    @wraps(command)
    def choose(**given: Any) -> int:
        try:
            chosen = Selection.of(*(given.pop(name) for name in SELECTION_OPTIONS))
            if chosen.ids or chosen.themes:
                chosen.check(declared())
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return command(chosen=chosen, **given)

    options = (
        click.option(
            f"--{name}",
            *(["-s"] if name == "scenario" else []),
            multiple=True,
            metavar=name.upper(),
            shell_complete=_completing(_WORDS[name]),
            help=f"Only scenarios {which}. Repeatable.",
        )
        for name, which in SELECTION_OPTIONS.items()
    )
    return _with(options, choose)


@dataclass(frozen=True)
class AccessOptions:
    """The values of :func:`access_options`, as written on the command line."""

    values: Mapping[str, Any] = field(repr=False)
    """By the name of the option, without those that were not given."""

    @property
    def arguments(self) -> list[str]:
        """The same as arguments of pytest, which runs in this process: no process list shows
        them."""
        arguments = []
        for name, value in self.values.items():
            option = f"--pullproof-{name}"
            if value is True:
                arguments.append(option)
            else:
                every = value if isinstance(value, tuple) else (value,)
                arguments += [f"{option}={one}" for one in every]
        return arguments

    def read(self) -> TargetAccess:
        """The values, parsed. Raises ``TargetError``."""
        return access_of(self.values)

    @property
    def workers(self) -> str:
        """The default of ``--workers``: one for each core, or none where all would listen at one
        address."""
        return "0" if "upstream-at" in self.values else "auto"


def access_options(command: Command) -> Command:
    """Add the options for ``url:`` targets; the command gets an :class:`AccessOptions` called
    ``access``."""

    @wraps(command)
    def approached(**given: Any) -> int:
        values = {name: given.pop(name.replace("-", "_")) for name in ACCESS_OPTIONS}
        access = AccessOptions({name: value for name, value in values.items() if value})
        return command(access=access, **given)

    options = (
        click.option(
            f"--{name}",
            metavar=attributes.get("metavar"),
            type=FILE if attributes.get("type") is Path else None,
            multiple=attributes.get("action") == "append",
            is_flag=attributes.get("action") == "store_true",
            help=f"{attributes['help'][0].upper()}{attributes['help'][1:]}.",
        )
        for name, attributes in ACCESS_OPTIONS.items()
    )
    return _with(options, approached)


def _with(options: Any, command: Command) -> Command:
    """*command* with *options*, in their order."""
    return reduce(lambda made, option: option(made), reversed(list(options)), command)
