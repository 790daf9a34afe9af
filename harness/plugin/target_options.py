"""The options of pytest that choose what is tested, under two names each.

``--pullproof-target`` always exists. The short name ``--target`` is added after plugins and initial
conftest files have added their options, and only if none of them has it: pytest refuses to run if
two plugins define one option.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.targets import Access

__all__ = ["GROUP", "access_of", "add_short_names", "add_target_options", "rerun_arguments"]

GROUP = "pullproof"

_OPTIONS: dict[str, dict[str, Any]] = {
    "target": {
        "action": "append",
        "metavar": "TARGET",
        "dest": "pullproof_targets",
        "help": "what to test: reference[@PROFILE], binary:PATH, container:IMAGE, drayage, "
        "url:URL or recording:FILE; repeatable (default: reference)",
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
        "help": "record all that each target shows in a file in DIR, for --target recording:FILE",
    },
}

_ACCESS: dict[str, dict[str, Any]] = {
    "login": {
        "metavar": "USER:PASSWORD",
        "help": "for url:URL: log in; @FILE reads a file. PULLPROOF_LOGIN in the environment works "
        "too; neither shows in the process list",
    },
    "header": {
        "action": "append",
        "default": [],
        "metavar": "'NAME: VALUE'",
        "help": "for url:URL: send this header with every request; repeatable",
    },
    "ca": {
        "metavar": "FILE",
        "type": Path,
        "help": "for url:URL: CA certificates to trust (PEM), in place of the system's",
    },
    "upstream-at": {
        "metavar": "HOST:PORT",
        "help": "for url:URL: the address of its upstream; the mock upstream of each scenario "
        "listens there, one at a time, so that the run cannot use -n",
    },
    "allow-writes": {
        "action": "store_true",
        "help": "for url:URL: allow scenarios to push, and to delete what they pushed",
    },
    "known-as": {
        "metavar": "NAME@RELEASE",
        "help": "for url:URL: its implementation and release, such as distribution@2.8, whose "
        "known deviations then count",
    },
}


def access_of(config: pytest.Config) -> Access:
    """How ``url:`` targets are accessed. Raises ``TargetError`` for invalid values."""
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


def rerun_arguments(config: pytest.Config) -> list[str]:
    """The arguments of ``pullproof run`` that choose the same targets; secrets are left out."""
    arguments = []
    for target in config.getoption("pullproof_targets") or ["reference"]:
        arguments += ["-t", target]
    for name in ("baseline", "ca", "upstream-at", "known-as"):
        value = config.getoption(f"pullproof_{name.replace('-', '_')}")
        if value is not None:
            arguments += [f"--{name}", str(value)]
    for header in config.getoption("pullproof_header"):
        arguments += ["--header", f"{header.partition(':')[0]}: ..."]
    if config.getoption("pullproof_login") is not None:
        arguments += ["--login", "@FILE"]
    return arguments + (["--allow-writes"] if config.getoption("pullproof_allow_writes") else [])


def add_target_options(group: pytest.OptionGroup) -> None:
    """Add them to *group* under their long names."""
    for name, attributes in _OPTIONS.items():
        group.addoption(f"--pullproof-{name}", **attributes)
    for name, attributes in _ACCESS.items():
        group.addoption(f"--pullproof-{name}", **attributes)


def add_short_names(parser: pytest.Parser) -> None:
    """Add the short names that no other plugin uses."""
    group = parser.getgroup(GROUP)
    for name, attributes in _OPTIONS.items():
        if _is_free(parser, f"--{name}"):
            group.addoption(f"--{name}", **attributes | {"help": f"short for --pullproof-{name}"})


def _is_free(parser: pytest.Parser, option: str) -> bool:
    try:
        _, unknown = parser.parse_known_and_unknown_args([f"{option}=x"])
    except pytest.UsageError:  # Another plugin has it and rejects "x".
        return False
    return bool(unknown)
