"""Rules: small pure functions, registered with what there is to say about them.

A rule is given one document and what it is looked at with, and yields hits. What holds for every
hit of a rule (severity, why, fix, reference) is its registration, from which docs/lint.md is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from harness.nodes.lint.finding import Edit, Severity, Spot

if TYPE_CHECKING:
    from harness.nodes.lint.project import Project
    from harness.nodes.models.containerd.releases import Release
    from reference_registry.profiles import Profile

__all__ = ["Hit", "Kind", "Level", "Rule", "RuleContext", "Rules", "loaded_rules"]


Level = Literal["error", "warning", "info"]


class Kind(StrEnum):
    """What a file is."""

    REGISTRY = "config.yml"
    HOSTS = "hosts.toml"
    CONTAINERD = "config.toml"
    DAEMON = "daemon.json"
    REGISTRIES = "registries.conf"
    LOGINS = "config.json"
    KUBERNETES = "Kubernetes manifest"
    COMPOSE = "compose.yml"
    HTPASSWD = "htpasswd"
    SCHEDULE = "scheduler-state.json"
    DIRECTORY = "certs.d directory"
    INPUT = "any file"


@dataclass(frozen=True)
class Hit:
    """One place where a rule applies. ``fix`` is what to do here, where it is more than the rule's
    own advice; ``edits`` do it."""

    spot: Spot
    what: str
    fix: str = ""
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class RuleContext:
    """With what a document is looked at: the other files, and one release of each program."""

    project: Project
    containerd: Release
    registry: Profile | None = None
    """Only for rules that ask for it: reading it takes as long as all of hosts.toml."""

    @property
    def profile(self) -> Profile:
        assert self.registry is not None
        return self.registry


Check = Callable[[Any, RuleContext], Iterator[Hit]]


@dataclass(frozen=True)
class Rule:
    """A check, and what is said where it hits."""

    id: str
    title: str
    severity: Severity
    kinds: tuple[Kind, ...]
    why: str
    fix: str
    reference: str
    check: Check = field(repr=False)
    differs_by: Literal["", "containerd", "registry"] = ""
    """Whose release decides, where one does."""
    fixable: bool = False
    """Whether its hits carry edits, at least in plain cases, for ``--fix``."""


class Rules:
    """The rules of one module, in the order in which they are written."""

    def __init__(self, *kinds: Kind) -> None:
        """*kinds* are the files that the rules are for, unless a rule names others."""
        self.kinds = kinds
        self.all: list[Rule] = []

    def __call__(
        self,
        rule_id: str,
        title: str,
        *,
        severity: Level,
        why: str,
        fix: str,
        reference: str,
        by: Literal["", "containerd", "registry"] = "",
        fixable: bool = False,
        kinds: tuple[Kind, ...] = (),
    ) -> Callable[[Check], Check]:
        """Register the function below as a rule."""

        def register(check: Check) -> Check:
            level = Severity(severity)
            served = kinds or self.kinds
            self.all.append(
                Rule(rule_id, title, level, served, why, fix, reference, check, by, fixable)
            )
            return check

        return register


def loaded_rules(*kinds: Kind) -> tuple[Rule, ...]:
    """The rules for *kinds* (default: all), by id. Only the modules that they need are imported."""
    from importlib import import_module

    from harness.nodes.lint.rules import MODULES
    from harness.nodes.lint.rules import __name__ as package

    wanted = set(kinds or Kind)
    names = [name for name, served in MODULES.items() if wanted.intersection(served)]
    rules: dict[str, Rule] = {}
    for name in names:
        for rule in import_module(f"{package}.{name}").rules.all:
            if rule.id in rules:
                raise ValueError(f"two rules are called {rule.id}")
            rules[rule.id] = rule
    return tuple(rules[rule_id] for rule_id in sorted(rules))
