"""How a simulated registry behaves, as data.

By default a host is healthy: it speaks plain HTTP and trusted TLS on every port, has every image
and requires no credentials. :class:`HostBehaviour` describes differences; its rules answer single
requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.nodes.models.network import basic_authorization

__all__ = [
    "HEALTHY",
    "UNRESOLVABLE",
    "HostAction",
    "HostBehaviour",
    "HostChallenge",
    "HostRule",
    "HostTokenService",
]


@dataclass(frozen=True)
class HostChallenge:
    """Authentication for everything that a host serves."""

    type: Literal["basic", "bearer"]
    credential: str = ""
    """``user:password`` that a Basic challenge accepts."""
    realm: str = ""
    service: str = ""
    scope: str = "repository:any:pull"
    token: str = ""
    """The token that a Bearer challenge accepts."""
    error: str | None = None
    lines: tuple[str, ...] | None = None
    """WWW-Authenticate as sent; None makes it from the rest."""

    def header(self) -> tuple[str, ...]:
        """The header lines of a 401."""
        if self.lines is not None:
            return self.lines
        if self.type == "basic":
            return ('Basic realm="mock"',)
        error = f',error="{self.error}"' if self.error else ""
        return (
            f'Bearer realm="{self.realm}",service="{self.service}",scope="{self.scope}"{error}',
        )

    def accepts(self, authorization: str | None) -> bool:
        """Whether the Authorization header grants access."""
        if self.type == "bearer":
            return authorization == f"Bearer {self.token}"
        return authorization == basic_authorization(self.credential)


@dataclass(frozen=True)
class HostTokenService:
    """A token server: for service ``x`` it issues the token ``T-x``."""

    credential: str | None = None
    """``user:password`` that it requires if any are sent; None accepts everyone."""
    status: int | None = None
    """The status of every answer."""
    post_status: int | None = None
    get_status: int | None = None
    token: str | None = None
    """Issued instead of the valid one."""


@dataclass(frozen=True)
class HostAction:
    """How a rule changes the answer; without any field set it changes nothing."""

    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    html: bool = False
    """200 with a web page, like a captive portal."""
    redirect: str | None = None
    """307 to this URL; ``{path}`` stands for the request's path."""
    reset: bool = False
    wrong_body: bool = False
    """Wrong bytes of the right length."""
    truncate: int | None = None
    """The connection ends after this many bytes of the body."""
    ignore_range: bool = False
    no_digest_header: bool = False
    wrong_digest_header: bool = False
    bad_digest_header: bool = False
    drop_size: bool = False
    hang: bool = False


@dataclass(frozen=True)
class HostRule:
    """The first matching rule applies; a filter that is None matches all requests."""

    action: HostAction
    method: str | None = None
    kind: str | None = None
    """``base`` (/v2/), ``manifest-tag``, ``manifest-digest``, ``blob``, ``token``, ``other``."""
    obj: str | None = None
    """``base``, ``tag``, ``index``, ``manifest``, ``config``, ``layer``, ``token``, ``other``."""
    auth: Literal["none", "some"] | None = None
    times: int | None = None
    """How many times the rule applies; None for always."""


@dataclass(frozen=True)
class HostBehaviour:
    """One host. The default is a healthy registry that has every image."""

    resolvable: bool = True
    down: bool = False
    unreachable: bool = False
    """Connection attempts are never answered."""
    silent: bool = False
    """Connections are accepted, and nothing is sent."""
    speaks: Literal["both", "plain", "tls"] = "both"
    authority: bytes | None = None
    """The authority (DER) that signed its certificate; None for one in the system's roots."""
    wants_client_certificate: bool = False
    store: bool = True
    challenge: HostChallenge | None = None
    tokens: HostTokenService = HostTokenService()
    rules: tuple[HostRule, ...] = ()


HEALTHY = HostBehaviour()
UNRESOLVABLE = HostBehaviour(resolvable=False)
"""A name that does not resolve."""
