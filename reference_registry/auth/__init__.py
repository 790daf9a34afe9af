"""Who may use the registry (``auth``)."""

from __future__ import annotations

from typing import Protocol

from reference_registry.auth.htpasswd import HtpasswdAuthenticator
from reference_registry.clock import Clock
from reference_registry.config import AuthConfig
from reference_registry.http.hooks import Authenticator, Background
from reference_registry.profiles import Profile

__all__ = ["StartedAuthenticator", "authenticator_for"]


class StartedAuthenticator(Authenticator, Background, Protocol):
    """One that reads its files when it is started."""


def authenticator_for(
    config: AuthConfig, profile: Profile, clock: Clock
) -> StartedAuthenticator | None:
    """What *config* asks for; None where everyone may do everything."""
    if config.htpasswd is not None:
        return HtpasswdAuthenticator(config.htpasswd, profile)
    if config.token is not None:
        # The cryptography is slow to import.
        from reference_registry.auth.token import TokenAuthenticator

        return TokenAuthenticator(config.token, profile, clock)
    return None
