"""A click choice with suggestions. Imports nothing slow: ``explain`` and ``lint`` use it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import click

__all__ = ["Choice"]


class Choice(click.Choice[str]):
    """A choice that suggests the nearest value."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        near = get_close_matches(str(value), self.choices, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(self.choices)}"
        return f"unknown value {value!r} ({hint})"
