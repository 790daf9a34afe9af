"""The options of pytest that say what is tested, under two names each.

``--pullproof-target`` is there always. ``--target``, which is what one types, is added once plugins
and initial conftest files have added theirs, and only where none of them did: pytest would refuse
to run where two claim one name, and our plugin is loaded in every environment that has pullproof.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.targets import Access

__all__ = ["GROUP", "access_of", "add_short_names", "add_target_options"]

GROUP = "pullproof"

_OPTIONS: dict[str, dict[str, Any]] = {
    "target": {
        "action": "append",
        "metavar": "TARGET",
        "dest": "pullproof_targets",
        "help": "what to test: reference[@PROFILE], binary:PATH, container:IMAGE, drayage, zot "
        "(not run here), url:URL or recording:FILE; repeatable (default: reference)",
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

_ACCESS: dict[str, dict[str, Any]] = {
    "login": {
        "metavar": "USER:PASSWORD",
        "help": "for url:URL: what to log in with; @FILE reads it from a file, and so does the "
        "environment's PULLPROOF_LOGIN, which others do not see in the list of processes",
    },
    "header": {
        "action": "append",
        "default": [],
        "metavar": "'NAME: VALUE'",
        "help": "for url:URL: sent to it with every request; repeatable",
    },
    "ca": {
        "metavar": "FILE",
        "type": Path,
        "help": "for url:URL: certificates to trust, as PEM, in place of the machine's",
    },
    "upstream-at": {
        "metavar": "HOST:PORT",
        "help": "for url:URL: where it looks for its upstream; the mock upstream of each scenario "
        "answers there, one after another, so that such a run takes no -n",
    },
    "allow-writes": {
        "action": "store_true",
        "help": "for url:URL: scenarios may push to it and delete what they pushed",
    },
    "known-as": {
        "metavar": "NAME@RELEASE",
        "help": "for url:URL: what it is, such as distribution@2.8, so that its known deviations "
        "count; without, nothing is excused",
    },
}


def access_of(config: pytest.Config) -> Access:
    """How ``url:`` targets are approached. ``TargetError`` for what cannot be meant."""
    from harness.targets import Access

    return Access.read(
        login=config.getoption("pullproof_login"),
        headers=config.getoption("pullproof_header"),
        ca=config.getoption("pullproof_ca"),
        upstream_at=config.getoption("pullproof_upstream_at"),
        allow_writes=config.getoption("pullproof_allow_writes"),
        known_as=config.getoption("pullproof_known_as"),
        environment=os.environ,
    )


def add_target_options(group: pytest.OptionGroup) -> None:
    """Add them to *group* under the names that are nobody else's."""
    for name, attributes in _OPTIONS.items():
        group.addoption(f"--pullproof-{name}", **attributes)
    for name, attributes in _ACCESS.items():
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
