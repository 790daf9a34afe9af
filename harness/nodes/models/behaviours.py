"""How a simulated registry behaves, as data.

A host is healthy unless told otherwise: it speaks plain HTTP and trusted TLS on every port, has
every image, and asks for no credentials. :class:`HostBehaviour` says what is different; its rules
answer single requests. :func:`behaviour_from` reads the form in which measured cases hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from harness.nodes.models.network import basic_authorization

__all__ = [
    "HEALTHY",
    "UNRESOLVABLE",
    "Action",
    "Challenge",
    "HostBehaviour",
    "Rule",
    "TokenService",
    "behaviour_from",
]


@dataclass(frozen=True)
class Challenge:
    """Authentication in front of everything that a host serves."""

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
        """Whether the Authorization header opens the door."""
        if self.type == "bearer":
            return authorization == f"Bearer {self.token}"
        return authorization == basic_authorization(self.credential)


@dataclass(frozen=True)
class TokenService:
    """A token server: for service ``x`` it issues the token ``T-x``."""

    credential: str | None = None
    """``user:password`` that it asks for if any are sent; None accepts everybody."""
    status: int | None = None
    """Answered to every request."""
    post_status: int | None = None
    get_status: int | None = None
    token: str | None = None
    """Issued instead of the right one."""


@dataclass(frozen=True)
class Action:
    """What a rule does to the answer; without any field set the answer stays as it is."""

    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    html: bool = False
    """200 with a web page, as a captive portal sends it."""
    redirect: str | None = None
    """307 to this URL; ``{path}`` stands for the request's path."""
    reset: bool = False
    wrong_body: bool = False
    """The right length, other bytes."""
    truncate: int | None = None
    """The connection ends after so many bytes of the body."""
    ignore_range: bool = False
    no_digest_header: bool = False
    wrong_digest_header: bool = False
    bad_digest_header: bool = False
    drop_size: bool = False
    hang: bool = False


@dataclass(frozen=True)
class Rule:
    """The first rule that matches a request decides; a filter that is None matches all."""

    action: Action
    method: str | None = None
    kind: str | None = None
    """``base`` (/v2/), ``manifest-tag``, ``manifest-digest``, ``blob``, ``token``, ``other``."""
    obj: str | None = None
    """``base``, ``tag``, ``index``, ``manifest``, ``config``, ``layer``, ``token``, ``other``."""
    auth: Literal["none", "some"] | None = None
    times: int | None = None
    """How often the rule applies; None for always."""


@dataclass(frozen=True)
class HostBehaviour:
    """One host. The default is a healthy registry that has every image."""

    resolvable: bool = True
    down: bool = False
    unreachable: bool = False
    """Connection attempts are never answered."""
    silent: bool = False
    """Connections are accepted, and nothing is ever said."""
    speaks: Literal["both", "plain", "tls"] = "both"
    authority: bytes | None = None
    """The authority (DER) that signed its certificate; None for one in the system's roots."""
    wants_client_certificate: bool = False
    store: bool = True
    challenge: Challenge | None = None
    tokens: TokenService = TokenService()
    rules: tuple[Rule, ...] = ()


HEALTHY = HostBehaviour()
UNRESOLVABLE = HostBehaviour(resolvable=False)
"""A name that has no address."""


# -- reading ------------------------------------------------------------------------------------
_ALIASES = {
    "accept_only": "silent",
    "tls": "speaks",
    "client_ca": "wants_client_certificate",
    "cred": "credential",
    "challenge": "lines",
    "post": "post_status",
    "get": "get_status",
}


def behaviour_from(
    document: Mapping[str, Any], authorities: Mapping[str, bytes | None]
) -> HostBehaviour:
    """The behaviour that *document* describes, in the form of the measured cases.

    *authorities* tells which authority signed a ``cert`` of that name. Raises ``ValueError`` for a
    key that is not known: a case that is half understood proves nothing.
    """
    values = dict(document)
    certificate = values.pop("cert", None)
    challenge = values.pop("auth", None)
    tokens = values.pop("token", None)
    rules = values.pop("rules", ())
    return HostBehaviour(
        **_known(HostBehaviour, values),
        authority=None if certificate is None else authorities[certificate],
        challenge=None if challenge is None else Challenge(**_challenge(challenge)),
        tokens=TokenService(**_known(TokenService, tokens or {})),
        rules=tuple(_rule(rule) for rule in rules),
    )


def _challenge(document: Mapping[str, Any]) -> dict[str, Any]:
    values = _known(Challenge, document)
    lines = values.get("lines")
    if lines is not None:
        values["lines"] = (lines,) if isinstance(lines, str) else tuple(lines)
    return values


def _rule(document: Mapping[str, Any]) -> Rule:
    values = dict(document)
    action = Action(**_known(Action, values.pop("do", {})))
    conditions = _known(Rule, values.pop("on", {}))
    return Rule(action, **conditions, **_known(Rule, values))


def _known(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    values = {_ALIASES.get(key, key): value for key, value in document.items()}
    unknown = values.keys() - {f.name for f in fields(kind)}
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return values
