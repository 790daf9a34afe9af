"""How a mock upstream asks for credentials: not at all, Basic, or Bearer with a token server.

Each policy is plain data with one method: given a call, the challenge to answer it with, or None
where the call may pass. RFC 9110 section 11, RFC 7617, RFC 6750, distribution's token
specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from harness.upstream.calls import Call
from harness.upstream.credentials import Credential
from harness.upstream.tokens import TokenPolicy, TokenServer

__all__ = ["Anonymous", "Auth", "Basic", "Bearer"]


class Auth(Protocol):
    """A way to ask for credentials."""

    def challenge(self, call: Call, who: Credential, site: Site) -> str | None:
        """The ``WWW-Authenticate`` value for a 401, or None where *who* may do *call*."""
        ...


@dataclass(frozen=True)
class Site:
    """What a policy needs to know of the running upstream."""

    realm: str
    """The token server's URL."""
    tokens: TokenServer | None


@dataclass(frozen=True)
class Anonymous:
    """Everybody may read everything, and is never asked."""

    def challenge(self, call: Call, who: Credential, site: Site) -> str | None:
        return None


@dataclass(frozen=True)
class Basic:
    """User name and password with every request."""

    username: str
    password: str = field(repr=False)
    realm: str = "mock upstream"

    def challenge(self, call: Call, who: Credential, site: Site) -> str | None:
        right = who.scheme == "basic" and who.proves(self.username, self.password)
        return None if right else f'Basic realm="{self.realm}"'


@dataclass(frozen=True)
class Bearer:
    """Tokens, from a token server at ``/token`` of the same address unless told otherwise.

    Without *username* everybody gets a token. With one, repositories that match a glob of *public*
    may be pulled with an anonymous token, as on Docker Hub.
    """

    username: str | None = None
    password: str = field(default="", repr=False)
    public: tuple[str, ...] = ()
    lifetime: timedelta = timedelta(minutes=5)
    announces_lifetime: bool = True
    service: str = "mock-upstream"
    own_port: bool = False
    """Whether the token server listens on a port of its own."""
    realm: str | None = None
    """Another realm to name in challenges: a host that has no business with our credentials."""

    def policy(self) -> TokenPolicy:
        """What the token server has to know."""
        return TokenPolicy(
            self.username, self.password, self.public, self.lifetime, self.announces_lifetime
        )

    def challenge(self, call: Call, who: Credential, site: Site) -> str | None:
        scope = _scope(call)
        base = f'Bearer realm="{self.realm or site.realm}",service="{self.service}"'
        if scope is not None:
            base += f',scope="{":".join(scope)}"'
        if who.scheme != "bearer" or site.tokens is None:
            return base
        grant = site.tokens.grant(who.secret)
        if grant is None:
            return base + ',error="invalid_token"'
        if scope is not None and scope not in grant.scopes:
            return base + ',error="insufficient_scope"'
        return None


def _scope(call: Call) -> tuple[str, str, str] | None:
    """What *call* needs, as distribution's token specification spells it."""
    if call.kind == "catalog":
        return "registry", "catalog", "*"
    if call.repository is None:
        return None
    match call.method:
        case "GET" | "HEAD":
            action = "pull"
        case "DELETE":
            action = "delete"
        case _:
            action = "push"
    return "repository", call.repository, action
