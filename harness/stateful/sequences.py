"""Stories: settings and operations, as data, in files, and as Hypothesis makes them up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hypothesis import strategies as st

from harness.stateful.operations import (
    IMAGES,
    KINDS,
    OPERATIONS,
    REPOSITORIES,
    TAGS,
    Kind,
    Model,
    Operation,
)

__all__ = ["SequenceError", "StepSequence", "stories"]

_LONGEST = 14


class SequenceError(Exception):
    """The file cannot be used; the text names it and the fix."""


@dataclass(frozen=True)
class StepSequence:
    """What is done to a registry with these settings, from an empty storage on."""

    kind: Kind
    cache: Literal["inmemory"] | None
    delete_enabled: bool
    operations: tuple[Operation, ...]

    @property
    def happening(self) -> tuple[Operation, ...]:
        """The operations, without those that change nothing."""
        model = Model()
        return tuple(one for one in self.operations if model.take(one))

    def settings_in_words(self) -> str:
        """One line for people."""
        kind = "a pull-through cache" if self.kind == "proxy" else "a registry of its own"
        cache = "" if self.cache is None else f", descriptors cached {self.cache}"
        return f"{kind}, delete {'enabled' if self.delete_enabled else 'disabled'}{cache}"

    def render(self) -> str:
        """The text of a story's file."""
        document = {
            "kind": self.kind,
            "cache": self.cache,
            "delete_enabled": self.delete_enabled,
            "operations": [one.as_data() for one in self.happening],
        }
        return json.dumps(document, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> StepSequence:
        """The story in the file at *path*; :class:`SequenceError`."""
        try:
            return cls.from_data(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise SequenceError(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SequenceError(f"{path}: is no story ({type(error).__name__}: {error})") from error

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> StepSequence:
        """The story of a file's JSON. ``KeyError``, ``TypeError`` or ``ValueError``."""
        if data["kind"] not in KINDS or data["cache"] not in {None, "inmemory"}:
            raise ValueError("kind is proxy or standard, cache inmemory or null")
        operations = tuple(Operation.from_data(one) for one in data["operations"])
        if strange := [
            one.do for one in operations if data["kind"] not in OPERATIONS[one.do].kinds
        ]:
            raise ValueError(f"{strange[0]} does not happen to a {data['kind']} registry")
        return cls(data["kind"], data["cache"], bool(data["delete_enabled"]), operations)


def stories() -> st.SearchStrategy[StepSequence]:
    """All stories; the simplest is an empty one of a cache with nothing special."""
    return st.sampled_from(KINDS).flatmap(
        lambda kind: st.builds(
            StepSequence,
            st.just(kind),
            st.sampled_from((None, "inmemory")),
            st.booleans(),
            st.lists(_operations(kind), min_size=1, max_size=_LONGEST).map(tuple),
        )
    )


def _operations(kind: Kind) -> st.SearchStrategy[Operation]:
    weighted = [
        name for name, sort in OPERATIONS.items() if kind in sort.kinds for _ in range(sort.weight)
    ]
    return st.sampled_from(weighted).flatmap(
        lambda name: st.builds(
            Operation,
            st.just(name),
            repository=st.sampled_from((0, 0, *range(1, len(REPOSITORIES)))),
            tag=st.sampled_from((0, *range(len(TAGS)))),
            image=st.integers(0, IMAGES - 1),
            detail=st.sampled_from(OPERATIONS[name].details),
        )
    )
