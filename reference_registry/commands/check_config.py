"""``check-config CONFIG``: what a file comes to, and what in it does not do what one may think."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from reference_registry.config.explanation import explain
from reference_registry.config.file import ReadConfig, read
from reference_registry.config.problem import ConfigError, Problem
from reference_registry.config.rules import Reviewed, review
from reference_registry.profiles import Profile

__all__ = ["check_config"]

_WIDTH = 100
_SUBJECT = 14


def check_config(path: str, profile: Profile) -> int:
    """Explain the file at *path* and warn, on standard output. Warnings are no errors."""
    found = read(path, profile=profile)
    if found.config is None:
        raise ConfigError(found.errors)
    for subject, text in explain(found.config, profile):
        margin = " " * _SUBJECT
        said = textwrap.wrap(
            text, _WIDTH - _SUBJECT, break_long_words=False, break_on_hyphens=False
        )
        print(f"{subject:<{_SUBJECT}}" + f"\n{margin}".join(said))
    warnings = sorted(_warnings(found, profile), key=lambda problem: problem.place.line or 0)
    print()
    for warning in warnings:
        print(f"{warning} [{warning.rule}]")
    print(f"{found.source}: can be served, {_counted(len(warnings))}")
    return 0


def _warnings(found: ReadConfig, profile: Profile) -> Iterator[Problem]:
    assert found.config is not None
    yield from found.warnings
    yield from found.overlooked
    yield from review(Reviewed(found.config, profile, found.source, found.places))


def _counted(warnings: int) -> str:
    if not warnings:
        return "nothing to warn of"
    return "1 warning" if warnings == 1 else f"{warnings} warnings"
