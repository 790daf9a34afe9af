"""The options of pytest that say what is tested, under two names each.

``--pullproof-target`` is there always. ``--target``, which is what one types, is added once plugins
and initial conftest files have added theirs, and only where none of them did: pytest would refuse
to run where two claim one name, and our plugin is loaded in every environment that has pullproof.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

__all__ = ["GROUP", "add_short_names", "add_target_options"]

GROUP = "pullproof"

_OPTIONS: dict[str, dict[str, Any]] = {
    "target": {
        "action": "append",
        "metavar": "TARGET",
        "dest": "pullproof_targets",
        "help": "what to test: reference[@PROFILE], binary:PATH, container:IMAGE, url:URL or "
        "recording:FILE; repeatable (default: reference)",
    },
    "baseline": {
        "metavar": "TARGET",
        "dest": "pullproof_baseline",
        "help": "compare everything that each target shows with what TARGET shows; what "
        "divergences.toml does not explain fails",
    },
    "record": {
        "metavar": "DIR",
        "dest": "pullproof_record",
        "type": Path,
        "help": "write what each target showed to a file in DIR, for --target recording:FILE",
    },
}


def add_target_options(group: pytest.OptionGroup) -> None:
    """Add them to *group* under the names that are nobody else's."""
    for name, attributes in _OPTIONS.items():
        group.addoption(f"--pullproof-{name}", **attributes)


def add_short_names(parser: pytest.Parser) -> None:
    """Add the names without ``pullproof-`` that are free."""
    group = parser.getgroup(GROUP)
    for name, attributes in _OPTIONS.items():
        if _is_free(parser, f"--{name}"):
            group.addoption(f"--{name}", **attributes | {"help": f"short for --pullproof-{name}"})


def _is_free(parser: pytest.Parser, option: str) -> bool:
    try:
        _, unknown = parser.parse_known_and_unknown_args([f"{option}=x"])
    except pytest.UsageError:  # Somebody knows it, and takes no "x" for it.
        return False
    return bool(unknown)
