"""How a mock upstream authenticates: not at all, Basic, or Bearer with a token server.

RFC 9110 section 11, RFC 7617 (Basic), RFC 6750 (Bearer); distribution's "Token Authentication
Specification", "Token Authentication Implementation" (GET), "OAuth2 Token Authentication" (POST).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Protocol
from urllib.parse import parse_qs

from harness.upstream.calls import RegistryCall
from harness.upstream.replies import Reply, error_reply, json_reply
from reference_registry.clock import Clock


@dataclass(frozen=True)
class Credential:
    """The credential of a request (RFC 7617 Basic, RFC 6750 Bearer)."""

    scheme: str
    """``none``, ``basic``, ``bearer`` or another scheme in lower case; ``form`` for a user name in
    the body of a token request."""
    username: str | None = None
    secret: str = field(default="", repr=False)
    """The password or the token."""

    @property
    def label(self) -> str:
        """``none``, ``basic:<user>``, ``bearer``, ``form:<user>``: what the ledger keeps."""
        return self.scheme if self.username is None else f"{self.scheme}:{self.username}"

    def proves(self, username: str, password: str) -> bool:
        """Whether this is the password of that user."""
        return self.username == username and hmac.compare_digest(
            self.secret.encode(), password.encode()
        )


def credential_of(call: RegistryCall) -> Credential:
    """The credential that *call* carries, in its header or, asking for a token, in its body. A
    malformed Basic one has no user name."""
    if call.kind == "token" and call.method == "POST":
        form = parse_qs(call.body.decode("utf-8", "replace"))
        if names := form.get("username"):
            return Credential("form", names[0], form.get("password", [""])[0])
    scheme, _, value = (call.header("authorization") or "none").partition(" ")
    scheme = scheme.lower()
    if scheme != "basic":
        return Credential(scheme, None, value.strip())
    try:
        username, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return Credential(scheme)
    return Credential(scheme, username, password) if colon else Credential(scheme)


_RESPONSE_TIME = "%Y-%m-%dT%H:%M:%SZ"


Scope = tuple[str, str, str]
"""Type, name and action, such as ``("repository", "team/app", "pull")``."""


class TokenServer:
    """Issues tokens and checks them. Thread-safe."""

    def __init__(self, policy: Bearer, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._grants: dict[str, tuple[frozenset[Scope], datetime]] = {}
        self._refusal: int | None = None

    # -- for tests ------------------------------------------------------------------------------
    @property
    def tokens(self) -> tuple[str, ...]:
        """Every token issued so far, to search for in logs and files."""
        with self._lock:
            return tuple(self._grants)

    def revoke_all(self) -> None:
        """Make every token issued so far invalid, as if it had expired."""
        with self._lock:
            now = self._clock.now()
            self._grants = {t: (scopes, now) for t, (scopes, _) in self._grants.items()}

    def refuse(self, status: int | None = 401) -> None:
        """Answer every request for a token with *status* from now on; None ends that."""
        self._refusal = status

    # -- for the upstream -----------------------------------------------------------------------
    def issued(self, token: str) -> bool:
        """Whether *token* was issued here, expired or not."""
        with self._lock:
            return token in self._grants

    def grant(self, token: str) -> frozenset[Scope] | None:
        """What *token* allows now; None if it is expired or was not issued here."""
        with self._lock:
            scopes, expires = self._grants.get(token, (None, self._clock.now()))
        return scopes if self._clock.now() < expires else None

    def answer(self, call: RegistryCall) -> Reply:
        """The answer to a request for a token."""
        if self._refusal is not None:
            return error_reply(
                self._refusal, "DENIED", "requested access to the resource is denied"
            )
        if call.method == "POST":
            scopes = parse_qs(call.body.decode("utf-8", "replace")).get("scope", [])
        elif call.method in {"GET", "HEAD"}:
            scopes = call.parameters("scope")
        else:
            return error_reply(405, "UNSUPPORTED", "The operation is unsupported.")
        policy, who = self._policy, credential_of(call)
        known = policy.username is None or who.proves(policy.username, policy.password)
        anonymous = who.scheme == "none" and bool(policy.public)
        if not known and not anonymous:
            return error_reply(401, "UNAUTHORIZED", "incorrect username or password")
        return self._issue(
            frozenset(scope for scope in _triples(scopes) if known or self._is_public(*scope))
        )

    def _is_public(self, resource: str, name: str, action: str) -> bool:
        globs = self._policy.public
        return (resource, action) == ("repository", "pull") and any(
            fnmatchcase(name, glob) for glob in globs
        )

    def _issue(self, scopes: frozenset[Scope]) -> Reply:
        token = secrets.token_urlsafe(24)
        now = self._clock.now()
        with self._lock:
            self._grants[token] = (scopes, now + self._policy.lifetime)
        answer = {"token": token, "access_token": token, "issued_at": now.strftime(_RESPONSE_TIME)}
        lifetime = {"expires_in": int(self._policy.lifetime.total_seconds())}
        return json_reply(200, answer | (lifetime if self._policy.announces_lifetime else {}))


def _triples(scopes: list[str]) -> Iterator[Scope]:
    """``repository:team/app:pull,push`` is two triples; several scopes may share a parameter."""
    for scope in " ".join(scopes).split():
        resource, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        for action in actions.split(","):
            yield resource, name, action


class Auth(Protocol):
    """A way to ask for credentials."""

    def challenge(
        self, call: RegistryCall, who: Credential, realm: str, tokens: TokenServer | None
    ) -> str | None:
        """The ``WWW-Authenticate`` value for a 401, or None if *who* may do *call*. *realm* is the
        URL of the token server."""
        ...


@dataclass(frozen=True)
class Anonymous:
    """Everyone may read everything without credentials."""

    def challenge(
        self, call: RegistryCall, who: Credential, realm: str, tokens: TokenServer | None
    ) -> str | None:
        return None


@dataclass(frozen=True)
class Basic:
    """User name and password with every request."""

    username: str
    password: str = field(repr=False)
    realm: str = "mock upstream"

    def challenge(
        self, call: RegistryCall, who: Credential, realm: str, tokens: TokenServer | None
    ) -> str | None:
        right = who.scheme == "basic" and who.proves(self.username, self.password)
        return None if right else f'Basic realm="{self.realm}"'


@dataclass(frozen=True)
class Bearer:
    """Tokens, by default from a token server at ``/token`` of the same address.

    Without *username* everyone gets a token. With one, repositories that match a glob of *public*
    may be pulled with an anonymous token, as on Docker Hub.
    """

    username: str | None = None
    password: str = field(default="", repr=False)
    public: tuple[str, ...] = ()
    lifetime: timedelta = timedelta(minutes=5)
    announces_lifetime: bool = True
    """Whether ``expires_in`` is in the answer; without it, clients assume 60 s."""
    service: str = "mock-upstream"
    own_port: bool = False
    """Whether the token server listens on a port of its own."""
    realm: str | None = None
    """Another realm in challenges, such as a hostile host."""

    def challenge(
        self, call: RegistryCall, who: Credential, realm: str, tokens: TokenServer | None
    ) -> str | None:
        scope = _scope(call)
        base = f'Bearer realm="{self.realm or realm}",service="{self.service}"'
        if scope is not None:
            base += f',scope="{":".join(scope)}"'
        if who.scheme != "bearer" or tokens is None:
            return base
        granted = tokens.grant(who.secret)
        if granted is None:
            return base + ',error="invalid_token"'
        if scope is not None and scope not in granted:
            return base + ',error="insufficient_scope"'
        return None


def _scope(call: RegistryCall) -> Scope | None:
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
