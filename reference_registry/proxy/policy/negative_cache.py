"""What upstream was just found not to have: ``proxy.x-negative-ttl``. No I/O.

Only a plain 404 is remembered. A refusal that may be over in a moment (401, 403, 429, 5xx), or no
answer at all, never is: Nexus kept 403 long after it had been put right (NEXUS-27623). And that
something is absent upstream removes nothing that is cached (NEXUS-26642): whoever asks gets what
upstream's own 404 would have led to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from reference_registry.clock import Clock
from reference_registry.proxy.upstream.errors import Refusal, UpstreamRefused

__all__ = ["NegativeCache"]

_MOST = 10_000
"""Absences that are remembered, some 5 MB; beyond that the oldest goes. Whoever asks for random
digests fills the memory and nothing else."""


class NegativeCache:
    """What is known to be absent, each for *ttl* from when upstream said so. Zero: nothing is."""

    def __init__(self, ttl: timedelta, clock: Clock, most: int = _MOST) -> None:
        self._ttl = ttl
        self._clock = clock
        self._most = most
        self._until: dict[tuple[str, str], datetime] = {}  # the first to expire is the first
        self._of_repository: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._until)

    @contextmanager
    def minded(self, repository: str, reference: str, *, anew: bool = False) -> Iterator[None]:
        """While upstream is asked for *reference*, a tag or a digest, of *repository*.

        Raises :class:`UpstreamRefused` with 404 without asking where that is remembered, unless
        *anew*; and remembers, or forgets, by what comes of asking.
        """
        if not self._ttl:
            yield
            return
        if not anew and self.holds(repository, reference):
            what = f"{repository}: {reference}"
            raise UpstreamRefused(what, Refusal(404, "Not Found, a moment ago"))
        try:
            yield
        except UpstreamRefused as refused:
            if refused.status == 404:
                self.remember(repository, reference)
            raise
        self._forget(repository, reference)

    def holds(self, repository: str, reference: str) -> bool:
        """Whether *reference* is known to be absent now."""
        until = self._until.get((repository, reference))
        if until is None:
            return False
        now = self._clock.now()
        # A clock that was set back must not prolong anything.
        if until - self._ttl <= now < until:
            return True
        self._forget(repository, reference)
        return False

    def remember(self, repository: str, reference: str) -> None:
        """Upstream has just said that it has no *reference*."""
        self._forget(repository, reference)
        self._until[repository, reference] = self._clock.now() + self._ttl
        self._of_repository.setdefault(repository, set()).add(reference)
        if len(self._until) > self._most:
            self._forget(*next(iter(self._until)))

    def seen(self, repository: str) -> None:
        """Something new has come from *repository*: what it lacked may have come with it."""
        for reference in self._of_repository.pop(repository, ()):
            del self._until[repository, reference]

    def _forget(self, repository: str, reference: str) -> None:
        if self._until.pop((repository, reference), None) is not None:
            references = self._of_repository[repository]
            references.discard(reference)
            if not references:
                del self._of_repository[repository]
