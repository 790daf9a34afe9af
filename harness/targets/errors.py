"""What can be wrong with a target itself, as opposed to what it answers."""

from __future__ import annotations

import re

__all__ = ["DidNotStart", "NotOffered", "TargetError"]


_TELLING = tuple(
    re.compile(pattern)
    for pattern in (
        r"^(panic: .*)",
        r'level\W+fatal.*?msg"?[=:]"?((?:[^"\\]|\\.)+)',
        r"^(configuration error: .*)",
    )
)
"""Where distribution says why it ends: Go prints a trace after a panic, cobra its usage after a
configuration error."""


class TargetError(Exception):
    """The target cannot be tested. The text is one line: which target, what is wrong, the fix."""


class NotOffered(TargetError):
    """What a scenario asked of the target cannot be had of it, so that the scenario is not
    applicable; the text says in words what that is."""


class DidNotStart(TargetError):
    """A registry ended before it listened; some scenarios expect that.

    ``exit_code`` is that of the process (negative: the signal that ended it; None: it was given up
    while still running), ``message`` all that it said, ``reason`` the line of it to show first.
    """

    def __init__(
        self, target: str, exit_code: int | None, message: str, reason: str | None = None
    ) -> None:
        ending = "did not listen in time" if exit_code is None else f"exit code {exit_code}"
        super().__init__(f"{target}: did not start, {ending}: {reason or gist(message)}")
        self.exit_code = exit_code
        self.message = message


def gist(output: str) -> str:
    """The line of *output* that tells why a registry ended."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern in _TELLING:
        for line in lines:
            if match := pattern.search(line):
                return match[1]
    return lines[-1] if lines else "it said nothing"
