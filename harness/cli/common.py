"""What the commands share. Imports nothing slow: ``explain`` and ``lint`` use it."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

FILE = click.Path(dir_okay=False, path_type=Path)
F = TypeVar("F", bound=Callable[..., Any])


class Choice(click.Choice[str]):
    """A choice that suggests the nearest value."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        near = get_close_matches(str(value), self.choices, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(self.choices)}"
        return f"unknown value {value!r} ({hint})"


def file_option(
    *names: str, text: str, metavar: str = "FILE", multiple: bool = False
) -> Callable[[F], F]:
    """An option that names a file, or a directory where *metavar* says so, with *text* as help."""
    kind = click.Path(path_type=Path) if metavar == "DIR" else FILE
    return click.option(*names, type=kind, metavar=metavar, multiple=multiple, help=text)


def format_option(*forms: str) -> Callable[[F], F]:
    """``--format``, by default the first of *forms*; the command gets it as ``form``."""
    text = "Format of the output."
    return click.option(
        "--format", "form", type=Choice(forms), default=forms[0], show_default=True, help=text
    )


output_option = file_option("--output", "-o", text="Write to FILE (default: standard output).")


def write_output(text: str, output: Path | None) -> None:
    """Write *text* to *output*, or to standard output. ``ClickException`` if that fails."""
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from error
