"""``auth.token``: Bearer tokens (RFC 6750) that a token server has signed.

Challenge, token and claims are those of distribution's "Token Authentication Specification",
https://distribution.github.io/distribution/spec/auth/token/ and spec/auth/jwt/.
:mod:`reference_registry.auth.token_keys` chooses the signing key.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import jwt

from reference_registry.auth.token_keys import (
    TrustedKeys,
    Untrusted,
    algorithms_for,
    certificates_in,
    keys_in,
)
from reference_registry.clock import Clock
from reference_registry.config import TokenConfig
from reference_registry.config.problem import CannotStart
from reference_registry.http.hooks import Access, Authenticator, unauthorized
from reference_registry.http.messages import Request
from reference_registry.profiles import Profile

_log = logging.getLogger(__name__)

_LARGEST_FILE = 1024 * 1024  # bytes
_LONGEST_TOKEN = 48 * 1024
"""Characters. Servers limit a whole head to 64 KiB; a token with certificates has some thousand."""
T = TypeVar("T")


class TokenAuthenticator(Authenticator):
    """``auth.token`` as an :class:`Authenticator`."""

    def __init__(self, config: TokenConfig, profile: Profile, clock: Clock) -> None:
        self._config = config
        self._profile = profile
        self._clock = clock
        self._trusted = TrustedKeys({}, {}, ())

    async def start(self) -> None:
        """Read the keys; :class:`CannotStart` if there are none."""
        config = self._config
        roots = _read("rootcertbundle", config.rootcertbundle, certificates_in) or []
        jwks = _read("jwks", config.jwks, keys_in) or {}
        self._trusted = TrustedKeys.of(roots, jwks, self._profile)
        if not self._trusted.roots and not self._trusted.keys:
            key = "rootcertbundle" if config.jwks is None else "jwks"
            what, fix = "no key in the file", "put the token server's certificate or key in it"
            raise CannotStart(f"auth.token.{key}", what, fix, released_exit_code=2)

    async def stop(self) -> None:
        """Nothing is running."""

    async def authenticate(self, request: Request, access: Sequence[Access]) -> str | None:
        token = self._token_in(request.header("authorization") or "")
        if token is None:
            raise unauthorized(self._challenge(request, access), access)
        try:
            claims = self._verified(token)
            if not all(map(claims.grants, access)):
                raise _Refused("it does not grant this access", "insufficient_scope")
        except _Refused as refused:
            _log.info("token refused: %s", refused)
            raise unauthorized(self._challenge(request, access, refused.error), access) from None
        return str(claims.values["sub"])

    def _token_in(self, authorization: str) -> str | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        return None if self._profile.token_parser == "libtrust" and " " in token else token

    def _verified(self, token: str) -> _Claims:
        now, config, profile = self._clock.now(), self._config, self._profile
        if len(token) > _LONGEST_TOKEN:
            raise _Refused(f"it is longer than {_LONGEST_TOKEN} characters")
        try:
            header = jwt.get_unverified_header(token)
            listed = profile.has_token_options
            if listed and header.get("alg") not in config.signingalgorithms:
                raise _Refused("its algorithm is not among auth.token.signingalgorithms")
            key = self._trusted.signer(header, now)
        except RecursionError:
            raise _Refused("its header is nested too deeply") from None
        except (jwt.PyJWTError, Untrusted) as error:
            raise _Refused(str(error)) from None
        try:
            payload = jwt.PyJWS().decode(token, key, algorithms=algorithms_for(key, profile))
            claims = _parse_claims(payload, audience_list=profile.token_parser == "jose")
        except (jwt.PyJWTError, _UnreadableClaims) as error:
            error_code = "invalid_token" if profile.names_bad_signature else None
            raise _Refused(str(error), error_code) from None
        claims.check(issuer=config.issuer, audience=config.service, now=now)
        return claims

    def _challenge(
        self, request: Request, access: Sequence[Access], error: str | None = None
    ) -> str:
        """RFC 6750, 3, with ``service`` and ``scope`` to hand to the realm."""
        parameters = {
            "realm": self._realm(request),
            "service": self._config.service,
            "scope": _scope_of(access),
            "error": error,
        }
        return "Bearer " + ",".join(
            f"{name}={_quoted(value)}"
            for name, value in parameters.items()
            if value or name in {"realm", "service"}
        )

    def _realm(self, request: Request) -> str:
        if not self._config.autoredirect:
            return self._config.realm
        scheme = "https"
        if self._profile.has_token_options:
            scheme = request.header("x-forwarded-proto") or scheme
        return f"{scheme}://{request.header('host') or ''}{self._config.autoredirectpath}"


class _Refused(Exception):
    """The reason, for the log; ``error`` goes into the challenge (RFC 6750, 3.1) unless None."""

    def __init__(self, reason: str, error: str | None = "invalid_token") -> None:
        super().__init__(reason)
        self.error = error


def _quoted(text: str | None) -> str:
    escaped = (text or "").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read(name: str, path: Path | None, parse: Callable[[bytes], T]) -> T | None:
    """The parsed content of the file at *path*; None without a path. :class:`CannotStart`."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) <= _LARGEST_FILE:
            return parse(content)
        what = f"larger than {_LARGEST_FILE} bytes"
    except OSError as error:
        what = str(error.strerror)
    except (ValueError, RecursionError) as error:
        what = str(error) or "cannot be read"
    fix = "name the file with the token server's certificate or key"
    raise CannotStart(f"auth.token.{name}", f"{path}: {what}", fix, released_exit_code=2)


# -- claims -------------------------------------------------------------------------------------
_LEEWAY = 60
"""Seconds, for clocks that differ, as in distribution."""

_CLAIMS = {"iss": str, "sub": str, "exp": int, "nbf": int, "access": list}


class _UnreadableClaims(Exception):
    """A claim has the wrong type; the text is for the log."""


@dataclass(frozen=True)
class _Claims:
    """``values`` has the claims of ``_CLAIMS``: "", 0 or [] for one that is missing."""

    values: Mapping[str, Any]
    audiences: Sequence[str]
    access: Mapping[tuple[str, str], set[str]]
    """Actions by type and name of the resource."""

    def check(self, *, issuer: str, audience: str, now: datetime) -> None:
        """:class:`_Refused` unless the token comes from *issuer*, is meant for *audience* and is
        valid at *now*. One without an expiry has expired."""
        if self.values["iss"] != issuer:
            raise _Refused(f"it comes from {self.values['iss']!r}")
        if audience not in self.audiences:
            raise _Refused(f"it is meant for {', '.join(self.audiences) or 'no service'}")
        if now.timestamp() > self.values["exp"] + _LEEWAY:
            raise _Refused("it has expired")
        if now.timestamp() < self.values["nbf"] - _LEEWAY:
            raise _Refused("it is not valid yet")

    def grants(self, access: Access) -> bool:
        """Whether the token allows *access*."""
        return not {access.action, "*"}.isdisjoint(self.access.get((access.type, access.name), ()))


def _parse_claims(payload: bytes, *, audience_list: bool) -> _Claims:
    """The claims in a token's *payload*; ``aud`` may be a list if *audience_list*.
    Raises :class:`_UnreadableClaims`."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        raise _UnreadableClaims("its claims are not JSON") from None
    if not isinstance(document, dict):
        raise _UnreadableClaims("its claims are not an object")
    values = {name: _typed(document, name, kind) for name, kind in _CLAIMS.items()}
    audience = document.get("aud")
    audiences = [] if audience is None else [audience] if isinstance(audience, str) else audience
    if not _are_texts(audiences) or (audiences is audience and not audience_list):
        raise _UnreadableClaims("its claim aud is not text")
    granted: dict[tuple[str, str], set[str]] = {}
    for item in values["access"]:
        if not isinstance(item, dict):
            raise _UnreadableClaims("its claim access is not a list of objects")
        actions = _typed(item, "actions", list)
        if not _are_texts(actions):
            raise _UnreadableClaims("its claim access has actions that are not text")
        resource = (_typed(item, "type", str), _typed(item, "name", str))
        granted.setdefault(resource, set()).update(actions)
    return _Claims(values, audiences, granted)


def _typed(document: Mapping[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if value is None:
        return kind()
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _UnreadableClaims(f"its claim {name} is not {kind.__name__}")
    return value


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _scope_of(access: Iterable[Access]) -> str:
    """The ``scope`` to ask a token server for: ``repository:team/app:pull,push``, one for each
    resource with a space between."""
    actions: dict[tuple[str, str], list[str]] = {}
    for record in access:
        actions.setdefault((record.type, record.name), []).append(record.action)
    return " ".join(f"{kind}:{name}:{','.join(a)}" for (kind, name), a in actions.items())
