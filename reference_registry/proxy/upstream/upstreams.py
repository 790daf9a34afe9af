"""All upstreams of one cache, each with credentials, connections and tokens of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from reference_registry.config import ProxyConfig, UpstreamConfig
from reference_registry.config.upstreams import upstreams_of
from reference_registry.proxy.upstream.client import UpstreamRepository
from reference_registry.proxy.upstream.routing import MAIN, UpstreamRouting
from reference_registry.proxy.upstream.upstream import Upstream

__all__ = ["Upstreams"]


class Upstreams:
    """Those that *config* names. *connect* makes one of its section and its key there, which is
    ``proxy`` or ``proxy.x-upstreams.PREFIX``."""

    def __init__(
        self, config: ProxyConfig, connect: Callable[[UpstreamConfig, str], Upstream]
    ) -> None:
        self.places = UpstreamRouting(config)
        self._configs = {MAIN: config, **config.upstreams}
        self._upstreams = {
            prefix: connect(upstream, key) for prefix, key, upstream in upstreams_of(config)
        }

    @property
    def main(self) -> Upstream:
        """The one of ``proxy.remoteurl``; the only one that releases have."""
        return self._upstreams[MAIN]

    def repository(self, kept: str) -> UpstreamRepository:
        """What is kept here as *kept*, at the upstream that it comes from."""
        belonging = self.places.belonging(kept)
        return self._upstreams[belonging.prefix].repository(belonging.name)

    def ttl(self, kept: str) -> timedelta | None:
        """How long content of the repository *kept* lives here; None: for ever."""
        return self._configs[self.places.belonging(kept).prefix].ttl

    @property
    def anything_expires(self) -> bool:
        """Whether some content has an end."""
        return any(config.ttl is not None for config in self._configs.values())

    async def aclose(self) -> None:
        """Close all connections."""
        for upstream in self._upstreams.values():
            await upstream.aclose()
