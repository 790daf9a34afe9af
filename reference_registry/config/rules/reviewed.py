"""What a rule is given, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from reference_registry.config.model import Config
from reference_registry.config.problem import Place
from reference_registry.profiles import Profile

__all__ = ["Remark", "Reviewed", "Rule", "is_loopback"]


@dataclass(frozen=True)
class Reviewed:
    """A configuration that can be used, and where its keys stand."""

    config: Config
    profile: Profile
    source: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)

    def gives(self, *keys: str) -> bool:
        """Whether one of the full names *keys* is in the file or the environment."""
        return any(key in self.places for key in keys)

    def place_of(self, key: str) -> Place:
        """The place of *key*, or of the nearest section around it that is given."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, Place(self.source))


@dataclass(frozen=True)
class Remark:
    """What a rule has to say of ``key``."""

    key: str
    why: str
    fix: str


Rule = Callable[[Reviewed], Remark | None]


def is_loopback(host: str) -> bool:
    """Whether *host* names this machine to itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
