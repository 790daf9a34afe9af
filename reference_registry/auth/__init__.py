"""Who may use the registry (``auth``)."""

from __future__ import annotations

from reference_registry.auth.htpasswd import HtpasswdAuthenticator
from reference_registry.config import AuthConfig
from reference_registry.profiles import Profile

__all__ = ["authenticator_for"]


def authenticator_for(config: AuthConfig, profile: Profile) -> HtpasswdAuthenticator | None:
    """What *config* asks for; None where everyone may do everything."""
    return None if config.htpasswd is None else HtpasswdAuthenticator(config.htpasswd, profile)
