"""The rules, in modules by kind of file. A module is imported only if there is such a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Check, LintRule, Rules

__all__ = ["loaded_checks", "loaded_rules"]

_MODULES: Mapping[str, tuple[Kind, ...]] = {
    "compose": (Kind.COMPOSE,),
    "config": (Kind.REGISTRY,),
    "containerd": (Kind.CONTAINERD,),
    "daemon": (Kind.DAEMON,),
    "hosts": (Kind.HOSTS,),
    "kubernetes": (Kind.KUBERNETES,),
    "logins": (Kind.LOGINS, Kind.KUBERNETES),
    "other_files": (Kind.INPUT, Kind.HTPASSWD, Kind.SCHEDULE, Kind.DIRECTORY),
    "registries_conf": (Kind.REGISTRIES,),
    "registry_containers": (Kind.KUBERNETES, Kind.COMPOSE),
}
"""Each module, and the kinds of files that it has rules for."""


def _loaded(kinds: tuple[Kind, ...]) -> list[Rules]:
    names = [name for name, served in _MODULES.items() if set(kinds).intersection(served)]
    return [import_module(f"{__name__}.{name}").rules for name in names]


@cache
def loaded_rules(*kinds: Kind) -> tuple[LintRule, ...]:
    """The rules for *kinds* (default: all), by id."""
    rules = [rule for some in _loaded(kinds or tuple(Kind)) for rule in some.all.values()]
    assert len({rule.id for rule in rules}) == len(rules), "two modules have one rule"
    return tuple(sorted(rules, key=lambda rule: rule.id))


@cache
def loaded_checks(*kinds: Kind) -> tuple[Check, ...]:
    """The checks of :func:`loaded_rules`."""
    return tuple(check for some in _loaded(kinds) for check in some.checks)
