"""What a token says: the claims of distribution's "Token Authentication Implementation".

https://distribution.github.io/distribution/spec/auth/jwt/. No I/O and no cryptography: whether
a trusted key signed it is :mod:`reference_registry.auth.token_keys`' matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reference_registry.http.hooks import Access

__all__ = ["LEEWAY", "BadClaims", "Claims", "UnreadableClaims", "parse_claims", "scope_of"]

LEEWAY = timedelta(seconds=60)
"""For clocks that differ, as distribution grants it."""

_EVERYTHING = "*"


class UnreadableClaims(Exception):
    """A claim has another type than the specification gives it; the text is for the log."""


class BadClaims(Exception):
    """The token is not good here and now; the text says why, for the log."""


@dataclass(frozen=True)
class Claims:
    """``expires`` and ``not_before`` are seconds since 1970, 0 where the token has none."""

    issuer: str
    subject: str
    audiences: tuple[str, ...]
    expires: int
    not_before: int
    access: Mapping[tuple[str, str], frozenset[str]]
    """Actions by type and name of the resource."""

    def check(self, *, issuer: str, audience: str, now: datetime) -> None:
        """:class:`BadClaims` unless the token comes from *issuer*, is meant for *audience* and is
        good at *now*. One without an expiry has expired."""
        if self.issuer != issuer:
            raise BadClaims(f"it comes from {self.issuer!r}")
        if audience not in self.audiences:
            raise BadClaims(f"it is meant for {', '.join(self.audiences) or 'no service'}")
        moment, leeway = now.timestamp(), LEEWAY.total_seconds()
        if moment > self.expires + leeway:
            raise BadClaims("it has expired")
        if moment < self.not_before - leeway:
            raise BadClaims("it is not good yet")

    def grants(self, access: Access) -> bool:
        """Whether *access* is among what the token is good for."""
        actions = self.access.get((access.type, access.name), frozenset())
        return access.action in actions or _EVERYTHING in actions


def parse_claims(payload: bytes, *, audience_list: bool) -> Claims:
    """The claims in a token's *payload*; ``aud`` may be a list where *audience_list* says so.
    Raises :class:`UnreadableClaims`."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        raise UnreadableClaims("its claims are not JSON") from None
    if not isinstance(document, dict):
        raise UnreadableClaims("its claims are not an object")
    return Claims(
        issuer=_typed(document, "iss", str, ""),
        subject=_typed(document, "sub", str, ""),
        audiences=_audiences(document.get("aud"), audience_list),
        expires=_typed(document, "exp", int, 0),
        not_before=_typed(document, "nbf", int, 0),
        access=_access(document.get("access")),
    )


def scope_of(access: Iterable[Access]) -> str:
    """The ``scope`` to ask a token server for: ``repository:team/app:pull,push``, one for each
    resource with a space between."""
    actions: dict[tuple[str, str], list[str]] = {}
    for record in access:
        actions.setdefault((record.type, record.name), []).append(record.action)
    return " ".join(f"{kind}:{name}:{','.join(a)}" for (kind, name), a in actions.items())


def _typed(document: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UnreadableClaims(f"its claim {name} is no {kind.__name__}")
    return value


def _audiences(value: Any, audience_list: bool) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if value is None:
        return ()
    if audience_list and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise UnreadableClaims("its claim aud is not text")


def _access(value: Any) -> Mapping[tuple[str, str], frozenset[str]]:
    if value is None:
        return {}
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UnreadableClaims("its claim access is not a list of objects")
    granted: dict[tuple[str, str], frozenset[str]] = {}
    for item in value:
        resource = (_typed(item, "type", str, ""), _typed(item, "name", str, ""))
        actions = _typed(item, "actions", list, [])
        if not all(isinstance(action, str) for action in actions):
            raise UnreadableClaims("its claim access has actions that are no texts")
        granted[resource] = granted.get(resource, frozenset()) | set(actions)
    return granted
