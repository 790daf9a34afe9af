"""``auth.htpasswd``: HTTP Basic authentication (RFC 7617) against an htpasswd file."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from reference_registry.auth.htpasswd_file import HtpasswdFile, HtpasswdSyntax, provision
from reference_registry.config import HtpasswdConfig
from reference_registry.config.problem import CannotStart
from reference_registry.http.hooks import Access, AuthenticationBroken, unauthorized
from reference_registry.http.messages import Request
from reference_registry.profiles import Profile

__all__ = ["HtpasswdAuthenticator", "basic_credentials"]

_log = logging.getLogger(__name__)

_MOST_REMEMBERED = 1024
_MOST_AT_ONCE = 2  # bcrypt takes a whole core; clients must not take them all
_BCRYPT_LENGTH = 72  # bytes; bcrypt ignores what follows, and so does distribution


class HtpasswdAuthenticator:
    """Implements :class:`reference_registry.http.hooks.Authenticator`.

    A password that was verified is remembered, as a keyed hash of user, password and the file's
    entry, so that of a hundred pulls one pays for bcrypt.
    """

    def __init__(self, config: HtpasswdConfig, profile: Profile) -> None:
        self._file = HtpasswdFile(config.path)
        self._hides_unknown_users = profile.hides_unknown_users
        quoted = config.realm.replace("\\", "\\\\").replace('"', '\\"')
        self._challenge = f'Basic realm="{quoted}"'
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, None] = OrderedDict()
        self._seen: Mapping[bytes, bytes] = {}
        self._turn = asyncio.Semaphore(_MOST_AT_ONCE)
        self._provisions = profile.provisions_htpasswd
        self._checks_at_start = profile.strict_config

    async def start(self) -> None:
        """Make the file where the profile does, or else look whether it can be used: a release
        finds out with the first request."""
        path = self._file.path
        fix = f"make one with: pullproof-registry htpasswd -Bbn USER PASSWORD > {path}"
        try:
            if self._provisions and (password := provision(path)):
                fields = {"user": "docker", "password": password}
                message = "htpasswd is missing, provisioning with default user"
                _log.warning(message, extra={"fields": fields})
            if self._checks_at_start:
                self._file.entries()
            return
        except FileNotFoundError:
            what = f"no such file: {path}"
        except IsADirectoryError:
            what, fix = f"{path} is a directory", "name the file within it"
        except HtpasswdSyntax as error:
            what = f"{path}: {error}"
        except OSError as error:
            what, fix = f"{path}: {error.strerror}", "check its permissions"
        raise CannotStart("auth.htpasswd.path", what, fix, released_exit_code=2)

    async def stop(self) -> None:
        self._verified.clear()

    async def authenticate(self, request: Request, access: Sequence[Access]) -> str | None:
        credentials = basic_credentials(request.header("authorization"))
        if credentials is None:
            raise unauthorized(self._challenge, access)
        user, password = credentials
        if not await self._verify(user, password):
            _log.info("user failed to authenticate", extra={"fields": {"username": _shown(user)}})
            raise unauthorized(self._challenge, access)
        return _shown(user)

    async def _verify(self, user: bytes, password: bytes) -> bool:
        entries = self._entries()
        entry = entries.get(user)
        if entry is None:
            if self._hides_unknown_users and entries:
                await self._matches(password, _unmatchable(max(entries.values(), key=_cost)))
            return False
        proof = hmac.digest(self._key, b"\0".join((user, entry, password)), hashlib.sha256)
        if proof in self._verified:
            self._verified.move_to_end(proof)
            return True
        if not await self._matches(password, entry):
            return False
        self._verified[proof] = None
        if len(self._verified) > _MOST_REMEMBERED:
            self._verified.popitem(last=False)
        return True

    def _entries(self) -> Mapping[bytes, bytes]:
        try:
            entries = self._file.entries()
        except (OSError, HtpasswdSyntax) as error:
            _log.error("error checking authorization: %s", error)
            raise AuthenticationBroken from error
        if entries is not self._seen:
            self._verified.clear()
            self._seen = entries
        return entries

    async def _matches(self, password: bytes, entry: bytes) -> bool:
        async with self._turn:
            return await asyncio.to_thread(_matches_bcrypt, password, entry)


def basic_credentials(authorization: str | None) -> tuple[bytes, bytes] | None:
    """User and password of an ``Authorization`` header, or None where it holds none."""
    if authorization is None or authorization[:6].lower() != "basic ":
        return None
    try:
        decoded = base64.b64decode(authorization[6:].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    user, colon, password = decoded.partition(b":")
    return (user, password) if colon else None


def _matches_bcrypt(password: bytes, entry: bytes) -> bool:
    import bcrypt

    if not entry.startswith(b"$2"):
        return False
    try:
        return bcrypt.checkpw(password[:_BCRYPT_LENGTH], entry)
    except ValueError:  # not a bcrypt hash after all
        return False


def _cost(entry: bytes) -> int:
    cost = entry[4:6]
    return int(cost) if entry.startswith(b"$2") and cost.isdigit() else 0


def _unmatchable(entry: bytes) -> bytes:
    """A hash that costs as much to check as *entry* and fits no known password."""
    return b"$2b$%02d$" % max(_cost(entry), 4) + b"." * 53


def _shown(user: bytes) -> str:
    return user.decode("utf-8", "backslashreplace")
