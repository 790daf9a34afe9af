"""The options of pytest that choose targets and scenarios, and what they say.

``--pullproof-target`` always exists. The short name ``--target`` is added after plugins and initial
conftest files have added their options, and only if none of them has it: pytest refuses to run if
two plugins define one option.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from harness.suite.catalogue import Selection
from harness.suite.scenario import Scenario

if TYPE_CHECKING:
    from harness.targets import Target, TargetAccess

GROUP = "pullproof"

TARGETS: pytest.StashKey[list[Target]] = pytest.StashKey()
SELECTION: pytest.StashKey[Selection] = pytest.StashKey()

SELECTION_OPTIONS = {
    "scenario": "whose id matches this shell pattern",
    "theme": "of this theme",
    "level": "of this level: must, should or info",
    "need": "with this need, such as storage",
}
"""The options that choose scenarios, in the order in which ``Selection.of`` takes them."""

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

_RUNNING: dict[str, dict[str, Any]] = {
    "real-clients": {
        "action": "store_true",
        "help": "also run the scenarios with real clients, which start daemons: dockerd, "
        "containerd, podman, skopeo (PULLPROOF_REQUIRE_REAL=1 implies it)",
    },
    "retry": {
        "metavar": "N",
        "type": int,
        "default": 1,
        "help": "run a scenario that fails up to N times more; one that then passes is marked "
        "FLAKY (default: 1)",
    },
    "catalogue": {
        "metavar": "FILE",
        "type": Path,
        "help": "write the catalogue of the collected scenarios to FILE, as Markdown",
    },
}

ACCESS_OPTIONS: dict[str, dict[str, Any]] = {
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
        "help": "for url:URL: the address of its upstream, where the mock upstream of each "
        "scenario listens, one at a time: not with several processes (-n)",
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


def access_of(values: Mapping[str, Any]) -> TargetAccess:
    """How ``url:`` targets are accessed, by the values of ``ACCESS_OPTIONS``. ``TargetError``."""
    from harness.targets import TargetAccess

    given = {name.replace("-", "_"): value for name, value in values.items()}
    headers = given.pop("header", ())
    return TargetAccess.read(**given, headers=headers, environment=os.environ)


def read_options(config: pytest.Config) -> None:
    """Check the options and put what they choose into the stash of *config*."""
    config.stash[TARGETS] = []
    try:
        chosen = (config.getoption(f"pullproof_{name}") for name in SELECTION_OPTIONS)
        config.stash[SELECTION] = Selection.of(*chosen)
    except ValueError as error:
        misused(error)
    if config.getoption("pullproof_targets") or config.getoption("pullproof_baseline"):
        targets_of(config)


def check_selection(config: pytest.Config, scenarios: Iterable[Scenario]) -> None:
    """End the run unless each word of the selection chooses some of *scenarios*."""
    try:
        config.stash[SELECTION].check(scenarios)
    except ValueError as error:
        misused(error)


def targets_of(config: pytest.Config) -> list[Target]:
    """The targets of the run, parsed at the first call."""
    from harness.suite.recording import parse_target
    from harness.targets import DEFAULT_TARGET, TargetError

    targets = config.stash[TARGETS]
    if not targets:
        texts = list(config.getoption("pullproof_targets") or [DEFAULT_TARGET])
        if baseline := config.getoption("pullproof_baseline"):
            # The baseline is the last column.
            texts = [text for text in texts if text != baseline] + [baseline]
        try:
            access = access_of(
                {name: config.getoption(f"--pullproof-{name}") for name in ACCESS_OPTIONS}
            )
            if access.upstream_at is not None and config.getoption("numprocesses", None):
                misused(
                    "--upstream-at serves the upstream of one scenario at a time; run without "
                    "pytest-xdist's -n (pullproof run: -n 0)"
                )
            targets += [parse_target(text, access) for text in dict.fromkeys(texts)]
        except TargetError as error:
            misused(error)
        names = [target.name for target in targets]
        if twice := next((name for name in names if names.count(name) > 1), None):
            misused(f"--target: {twice} is there twice; name each target once")
    return targets


def misused(problem: object) -> NoReturn:
    """End the run with exit code 2: a wrong option or a missing target is not a failed test."""
    pytest.exit(f"pullproof: {problem}", returncode=2)


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
    for name, attributes in {**_OPTIONS, **ACCESS_OPTIONS, **_RUNNING}.items():
        group.addoption(f"--pullproof-{name}", **attributes)
    for name, what in SELECTION_OPTIONS.items():
        group.addoption(
            f"--pullproof-{name}",
            action="append",
            default=[],
            metavar=name.upper(),
            help=f"run only scenarios {what}; repeatable",
        )


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
