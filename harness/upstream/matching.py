"""Which calls a fault or an expectation speaks of. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from harness.content import Content
from harness.upstream.calls import Kind
from reference_registry.digest import Digest, parse_digest

__all__ = ["Asked", "Match", "What"]

What = str | Content | None
"""A path, a glob, a digest, or content (which stands for its digest)."""


class Asked(Protocol):
    """What a match looks at: a call that comes in, or its entry in a ledger."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def repository(self) -> str | None: ...
    @property
    def digest(self) -> Digest | None: ...


@dataclass(frozen=True)
class Match:
    """Every condition that is given has to hold; without any, every call matches.

    ``what`` is a digest (matches calls whose path ends with it) or a glob: of the whole path where
    it begins with ``/`` or ``*``, else of the path's end, so that ``manifests/v1`` will do. A glob
    with a question mark and an equals sign speaks of the query too. ``*`` crosses slashes.
    """

    method: str | None = None
    what: str | None = None
    kind: Kind | None = None
    repository: str | None = None

    @classmethod
    def of(
        cls,
        method: str | None = None,
        what: What = None,
        *,
        kind: Kind | None = None,
        repository: str | None = None,
    ) -> Match:
        """A match from what tests have at hand; method ``*`` is any."""
        text = what if what is None or isinstance(what, str) else what.digest
        return cls(None if method == "*" else method, text, kind, repository)

    @classmethod
    def parse(cls, line: str) -> Match:
        """From ``GET /v2/team/*``, or from a path or digest alone."""
        method, _, what = line.rpartition(" ")
        return cls.of(method or None, what)

    def __call__(self, call: Asked) -> bool:
        return (
            self.method in {None, call.method}
            and self.kind in {None, call.kind}
            and self.repository in {None, call.repository}
            and (self.what is None or _names(self.what, call))
        )

    def __str__(self) -> str:
        parts = [self.method or "*", self.kind, self.repository, self.what]
        return " ".join(part for part in parts if part)


def _names(what: str, call: Asked) -> bool:
    if parse_digest(what) is not None:
        return call.digest == what
    glob = what if what.startswith(("/", "*")) else f"*/{what}"
    return fnmatchcase(call.path, glob) or fnmatchcase(call.target, glob.replace("?", "[?]"))
