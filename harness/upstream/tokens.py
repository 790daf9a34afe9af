"""The token server of a mock upstream.

Protocol: distribution's "Token Authentication Specification" and "Token Authentication
Implementation" (GET), "OAuth2 Token Authentication" (POST).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from urllib.parse import parse_qs

from harness.upstream.calls import Call
from harness.upstream.credentials import credential_of
from harness.upstream.replies import Reply, error_reply, json_reply
from reference_registry.clock import Clock

__all__ = ["Grant", "TokenPolicy", "TokenServer"]

_RESPONSE_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class TokenPolicy:
    """Who gets which token."""

    username: str | None
    """None: anybody, without asking who."""
    password: str = field(repr=False)
    public: tuple[str, ...]
    """Globs of repositories that everybody may pull, when there is a user."""
    lifetime: timedelta
    announces_lifetime: bool
    """Whether ``expires_in`` is in the answer; without it, clients assume 60 s."""


@dataclass(frozen=True)
class Grant:
    """What one issued token allows, until when."""

    scopes: frozenset[tuple[str, str, str]]
    """(type, name, action) triples such as ``("repository", "team/app", "pull")``."""
    expires: datetime


class TokenServer:
    """Issues tokens and knows them again. May be asked from any thread."""

    def __init__(self, policy: TokenPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._grants: dict[str, Grant] = {}
        self._refusal: int | None = None

    # -- for tests ------------------------------------------------------------------------------
    @property
    def tokens(self) -> tuple[str, ...]:
        """Every token issued so far, to look for where none may be found."""
        with self._lock:
            return tuple(self._grants)

    def revoke_all(self) -> None:
        """Make every token issued so far invalid, as if its time had come."""
        with self._lock:
            now = self._clock.now()
            self._grants = {t: Grant(g.scopes, now) for t, g in self._grants.items()}

    def refuse(self, status: int | None = 401) -> None:
        """Answer every request for a token with *status* from now on; None ends that."""
        self._refusal = status

    # -- for the upstream -----------------------------------------------------------------------
    def issued(self, token: str) -> bool:
        """Whether *token* is one of ours, expired or not."""
        with self._lock:
            return token in self._grants

    def grant(self, token: str) -> Grant | None:
        """What *token* allows now; None for one that is expired or not ours."""
        with self._lock:
            found = self._grants.get(token)
        return found if found is not None and self._clock.now() < found.expires else None

    def answer(self, call: Call) -> Reply:
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

    def _issue(self, scopes: frozenset[tuple[str, str, str]]) -> Reply:
        token = secrets.token_urlsafe(24)
        now = self._clock.now()
        with self._lock:
            self._grants[token] = Grant(scopes, now + self._policy.lifetime)
        answer = {
            "token": token,
            "access_token": token,
            "issued_at": now.strftime(_RESPONSE_TIME),
        }
        if self._policy.announces_lifetime:
            lifetime = {"expires_in": int(self._policy.lifetime.total_seconds())}
            return json_reply(200, answer | lifetime)
        return json_reply(200, answer)


def _triples(scopes: list[str]) -> Iterator[tuple[str, str, str]]:
    """``repository:team/app:pull,push`` is two triples; several scopes may share a parameter."""
    for scope in " ".join(scopes).split():
        resource, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        for action in actions.split(","):
            yield resource, name, action
