"""The rules, in modules by kind of file. A module is imported only if there is such a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import LintRule

__all__ = ["loaded_rules"]

_MODULES: Mapping[str, tuple[Kind, ...]] = {
    "compose": (Kind.COMPOSE,),
    "config": (Kind.REGISTRY,),
    "config_files": (Kind.REGISTRY, Kind.HTPASSWD, Kind.SCHEDULE),
    "containerd": (Kind.CONTAINERD,),
    "daemon": (Kind.DAEMON,),
    "hosts_directory": (Kind.DIRECTORY,),
    "hosts_file": (Kind.HOSTS,),
    "hosts_meaning": (Kind.HOSTS,),
    "input": (Kind.INPUT,),
    "kubernetes": (Kind.KUBERNETES,),
    "logins": (Kind.LOGINS, Kind.KUBERNETES),
    "ports": (Kind.KUBERNETES, Kind.COMPOSE),
    "registries_conf": (Kind.REGISTRIES,),
    "registry_containers": (Kind.KUBERNETES, Kind.COMPOSE),
    "secrets": (Kind.KUBERNETES, Kind.LOGINS),
}
"""Each module, and the kinds of files that it has rules for."""


@cache
def loaded_rules(*kinds: Kind) -> tuple[LintRule, ...]:
    """The rules for *kinds* (default: all), by id."""
    wanted = set(kinds or Kind)
    names = [name for name, served in _MODULES.items() if wanted.intersection(served)]
    rules = [rule for name in names for rule in import_module(f"{__name__}.{name}").rules.all]
    assert len({rule.id for rule in rules}) == len(rules), "two rules have one id"
    return tuple(sorted(rules, key=lambda rule: rule.id))
