"""A registry that is not distribution: with a configuration of its own, or with none of ours."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields
from datetime import timedelta
from typing import NoReturn, TypeVar

from harness.targets.errors import NotOffered
from harness.targets.garbage import GcRun
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings
from harness.targets.state import StateEntry

__all__ = ["ForeignRegistry", "refuse_settings"]

T = TypeVar("T")

_OF_NO_CONCERN = frozenset({"own_process", "secret", "prometheus"})
"""Settings that change nothing that such a registry could show."""


def refuse_settings(where: str, settings: Settings, known: Collection[str]) -> None:
    """``NotOffered`` where *settings* ask for something beside *known* fields of ``Settings``."""
    plain = Settings()
    asked = [
        field.name
        for field in fields(Settings)
        if field.name not in _OF_NO_CONCERN
        and field.name not in known
        and getattr(settings, field.name) != getattr(plain, field.name)
    ]
    if asked:
        raise NotOffered(f"{where} cannot be set up with {' and '.join(sorted(asked))}")


class ForeignRegistry(RunningRegistry):
    """What it keeps, it keeps in its own way: its ``disk`` is an empty one."""

    where = "this target"
    """What an error calls it."""

    def await_stored(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """At once what *predicate* says: on a disk that shows nothing, nothing can be awaited."""
        return predicate()

    def garbage_collect(
        self, *, dry_run: bool = False, delete_untagged: bool = False, online: bool = False
    ) -> GcRun:
        self._lacks("no garbage-collect command that could be run")

    def pass_time(self, delta: timedelta) -> None:
        self._lacks("no clock that could be turned")

    def state(self) -> dict[str, StateEntry] | None:
        self._lacks("no scheduler-state.json")

    def _lacks(self, what: str) -> NoReturn:
        raise NotOffered(f"{self.where} has {what}")
