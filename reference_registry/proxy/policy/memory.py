"""What the cache remembers besides content: what upstream was recently found not to have, and what
was used when. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from reference_registry.clock import Clock
from reference_registry.digest import Digest
from reference_registry.proxy.upstream.errors import Refusal, UpstreamRefused

_MOST = 10_000
"""Absences that are kept, some 5 MB; beyond that the oldest goes, so that requests for random
digests cannot fill the memory."""

UseTimes = Mapping[tuple[str, Digest], datetime]
"""When content was last used, by repository and digest."""

_INTERVAL = timedelta(seconds=10)
"""How long uses wait to be reported, and so how many of them a crash may lose."""


class NegativeCache:
    """Keeps each absence for *ttl* after upstream reported it (``proxy.x-negative-ttl``).

    Only a plain 404 is kept. A refusal that may be over soon (401, 403, 429, 5xx) and a missing
    answer never are: Nexus kept 403 long after it had been fixed (NEXUS-27623). An absence upstream
    removes nothing that is cached (NEXUS-26642): the client gets what upstream's own 404 would have
    led to.
    """

    def __init__(self, ttl: timedelta, clock: Clock, most: int = _MOST) -> None:
        self._ttl = ttl
        self._clock = clock
        self._most = most
        self._until: dict[tuple[str, str], datetime] = {}  # the first to expire is the first

    def __len__(self) -> int:
        return len(self._until)

    @contextmanager
    def asking(
        self, repository: str, reference: str, *, revalidate: bool = False
    ) -> Iterator[None]:
        """Wrap a request to upstream for *reference*, a tag or a digest, of *repository*.

        Raises :class:`UpstreamRefused` with 404 on a hit, without entering the block, unless
        *revalidate*. Adds or removes the entry by the outcome of the block.
        """
        if not revalidate and self.holds(repository, reference):
            what = f"{repository}: {reference}"
            raise UpstreamRefused(what, Refusal(404, "Not Found, a moment ago"))
        try:
            yield
        except UpstreamRefused as refused:
            if refused.status == 404:
                self.remember(repository, reference)
            raise
        self._until.pop((repository, reference), None)

    def holds(self, repository: str, reference: str) -> bool:
        """Whether *reference* is known to be absent."""
        until = self._until.get((repository, reference))
        if until is None:
            return False
        # A clock that was set back must not extend anything.
        if until - self._ttl <= self._clock.now() < until:
            return True
        del self._until[repository, reference]
        return False

    def remember(self, repository: str, reference: str) -> None:
        """Upstream has just said that it does not have *reference*."""
        self._until.pop((repository, reference), None)
        self._until[repository, reference] = self._clock.now() + self._ttl
        if len(self._until) > self._most:
            del self._until[next(iter(self._until))]

    def seen(self, repository: str) -> None:
        """Something new was cached from *repository*: what was absent may exist now too."""
        for known in [known for known in self._until if known[0] == repository]:
            del self._until[known]


class Uses:
    """Uses that have not been reported yet. A cache hit costs one dict entry and writes nothing;
    subscribers, which decide what is kept, get a report every few seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pending: dict[tuple[str, Digest], datetime] = {}
        self._subscribers: list[Callable[[UseTimes], None]] = []

    def subscribe(self, subscriber: Callable[[UseTimes], None]) -> None:
        """Report uses to *subscriber* from now on."""
        self._subscribers.append(subscriber)

    def note(self, repository: str, digest: Digest) -> None:
        """The manifest or blob *digest* of *repository* is being served, or was just cached."""
        self._pending[repository, digest] = self._clock.now()

    def settle(self) -> None:
        """Report what was collected."""
        if self._pending:
            pending, self._pending = self._pending, {}
            for report in self._subscribers:
                report(pending)

    async def keep_settling(self) -> None:
        """Report every few seconds, until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now() + _INTERVAL)
            self.settle()
