"""Errors of a target itself, as opposed to its answers."""

from __future__ import annotations

import re

_REASONS = tuple(
    re.compile(pattern)
    for pattern in (
        r"^(panic: .*)",
        r'level\W+fatal.*?msg"?[=:]"?((?:[^"\\]|\\.)+)',
        r"^(configuration error: .*)",
    )
)
"""The lines with which distribution explains its end: Go prints a trace after a panic, cobra its
usage after a configuration error."""


class TargetError(Exception):
    """The target cannot be tested. The text is one line: which target, what is wrong, the fix."""


class NotOffered(TargetError):
    """The target does not offer what a scenario needs, so the scenario is not applicable. The text
    says what that is."""


class DidNotStart(TargetError):
    """A registry ended before it listened, which some scenarios expect.

    ``exit_code`` is that of the process (negative: the signal that ended it; None: it
    still ran at the deadline), ``message`` its output, ``reason`` the line to show.
    """

    def __init__(
        self, target: str, exit_code: int | None, message: str, reason: str | None = None
    ) -> None:
        ending = "did not listen in time" if exit_code is None else f"exit code {exit_code}"
        super().__init__(f"{target}: did not start, {ending}: {reason or gist(message)}")
        self.exit_code = exit_code
        self.message = message


def gist(output: str) -> str:
    """The line of *output* that explains why a registry ended."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern in _REASONS:
        for line in lines:
            if match := pattern.search(line):
                return match[1]
    return lines[-1] if lines else "no output"
