"""Who may use the registry (``auth``)."""

from __future__ import annotations

from reference_registry.auth.htpasswd import HtpasswdAuthenticator
from reference_registry.clock import Clock
from reference_registry.config import ClientAuthConfig
from reference_registry.http.hooks import Authenticator
from reference_registry.profiles import Profile

__all__ = ["authenticator_for"]


def authenticator_for(
    config: ClientAuthConfig, profile: Profile, clock: Clock
) -> Authenticator | None:
    """The authenticator that *config* describes; None if everyone may do everything."""
    if config.htpasswd is not None:
        return HtpasswdAuthenticator(config.htpasswd, profile)
    if config.token is not None:
        # The cryptography is slow to import.
        from reference_registry.auth.token import TokenAuthenticator

        return TokenAuthenticator(config.token, profile, clock)
    return None
