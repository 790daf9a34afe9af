"""``auth.htpasswd``: HTTP Basic authentication (RFC 7617) against an htpasswd file.

The file has lines of ``user:hash``
(https://httpd.apache.org/docs/2.4/misc/password_encryptions.html). Only bcrypt hashes are accepted,
as in distribution (``registry/auth/htpasswd``).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import os
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

from reference_registry.config import HtpasswdConfig
from reference_registry.config.problem import CannotStart
from reference_registry.http.errors import TOOMANYREQUESTS, RegistryError
from reference_registry.http.hooks import Access, AuthenticationBroken, Authenticator, unauthorized
from reference_registry.http.messages import Request
from reference_registry.profiles import Profile
from reference_registry.storage.filesystem import LruCache

_log = logging.getLogger(__name__)

_MOST_REMEMBERED = 1024
_MOST_AT_ONCE = 2  # bcrypt takes a whole core; clients must not take them all
_MOST_WAITING = 128
_MOST_WAITING_FOR_ONE = 16
"""Passwords that wait to be verified, in total and for one client. Requests with the same password
wait together and count once, so that a node which starts all its pulls at once counts as one."""
_BCRYPT_LENGTH = 72  # bytes; bcrypt ignores what follows, and so does distribution


class HtpasswdAuthenticator(Authenticator):
    """``auth.htpasswd`` as an :class:`Authenticator`.

    A verified password is remembered, as a keyed hash of user, password and the file's entry, so
    that only the first of a hundred pulls pays for bcrypt and only that one may have to wait.
    Clients get 429 beyond the bounds of :class:`_Queue` (CWE-770).
    """

    def __init__(self, config: HtpasswdConfig, profile: Profile) -> None:
        self._path = config.path
        self._entries: Mapping[bytes, bytes] = {}
        self._stamp: tuple[int, int, int] | None = None
        """Of the file that ``_entries`` were read from: it may change at any time."""
        self._hides_unknown_users = profile.hides_unknown_users
        quoted = config.realm.replace("\\", "\\\\").replace('"', '\\"')
        self._challenge = f'Basic realm="{quoted}"'
        self._key = secrets.token_bytes(32)
        self._verified = _proofs()
        self._queue = _Queue()
        self._running: dict[bytes, asyncio.Task[bool]] = {}
        """Verifications that have not ended, by what is verified."""
        self._provisions = profile.provisions_htpasswd
        self._checks_at_start = profile.strict_config

    async def start(self) -> None:
        """Create the file if the profile does, or check that it can be used: a release notices with
        the first request."""
        path = self._path
        fix = f"make one with: pullproof-registry htpasswd -Bbn USER PASSWORD > {path}"
        try:
            if self._provisions and (password := _provision(path)):
                fields = {"user": "docker", "password": password}
                message = "htpasswd is missing, provisioning with default user"
                _log.warning(message, extra={"fields": fields})
            if self._checks_at_start:
                self._read()
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
        self._verified = _proofs()

    async def authenticate(self, request: Request, access: Sequence[Access]) -> str | None:
        credentials = basic_credentials(request.header("authorization"))
        if credentials is None:
            raise unauthorized(self._challenge, access)
        user, password = credentials
        if not await self._verify(user, password, _client_of(request)):
            _log.info("user failed to authenticate", extra={"fields": {"username": _shown(user)}})
            raise unauthorized(self._challenge, access)
        return _shown(user)

    async def _verify(self, user: bytes, password: bytes, client: str) -> bool:
        entries = self._current_entries()
        entry = entries.get(user)
        if entry is None:
            if self._hides_unknown_users and entries:
                entry = _unmatchable(max(entries.values(), key=_cost))
                await self._matches(self._proof(user, entry, password), password, entry, client)
            return False
        proof = self._proof(user, entry, password)
        if not self._verified.get(proof):
            if not await self._matches(proof, password, entry, client):
                return False
            self._verified.keep(proof, True)
        return True

    def _current_entries(self) -> Mapping[bytes, bytes]:
        try:
            return self._read()
        except (OSError, HtpasswdSyntax) as error:
            _log.error("error checking authorization: %s", error)
            raise AuthenticationBroken from error

    def _read(self) -> Mapping[bytes, bytes]:
        """The entries of the file, which is read if it has changed. Raises ``OSError`` and
        :class:`HtpasswdSyntax`."""
        found = self._path.stat()
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            with self._path.open("rb") as file:
                content = file.read(_LARGEST + 1)
            if len(content) > _LARGEST:
                raise HtpasswdSyntax(f"larger than {_LARGEST} bytes")
            self._entries, self._stamp = parse_htpasswd(content), stamp
            self._verified = _proofs()
        return self._entries

    def _proof(self, user: bytes, entry: bytes, password: bytes) -> bytes:
        return hmac.digest(self._key, b"\0".join((user, entry, password)), hashlib.sha256)

    async def _matches(self, proof: bytes, password: bytes, entry: bytes, client: str) -> bool:
        """Whether *password* is that of *entry*. Requests with one *proof* share one verification,
        which goes on when the first of them leaves."""
        running = self._running.get(proof)
        if running is None:
            running = asyncio.create_task(self._in_turn(password, entry, client))
            self._running[proof] = running
            running.add_done_callback(partial(self._ended, proof))
        return await asyncio.shield(running)

    def _ended(self, proof: bytes, running: asyncio.Task[bool]) -> None:
        del self._running[proof]
        if not running.cancelled():
            running.exception()  # All who waited may have left.

    async def _in_turn(self, password: bytes, entry: bytes, client: str) -> bool:
        await self._queue.turn(client)
        try:
            return await asyncio.to_thread(_matches_bcrypt, password, entry)
        finally:
            self._queue.done()


class _Queue:
    """Turns at bcrypt. Clients take turns, so that a client waits for one verification of each
    other client at most, however many those send. Where the queue is full, the client that waits
    most gives up its last place."""

    def __init__(self) -> None:
        self._free = _MOST_AT_ONCE
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By client; the next turn is that of the first client."""

    async def turn(self, client: str) -> None:
        """Return when *client* may verify one password; :meth:`done` ends that. TOOMANYREQUESTS."""
        if self._free:
            self._free -= 1
            return
        own = self._waiting.get(client, ())
        if len(own) >= _MOST_WAITING_FOR_ONE:
            raise _too_many_logins()
        if sum(map(len, self._waiting.values())) >= _MOST_WAITING:
            longest = max(self._waiting, key=lambda each: len(self._waiting[each]))
            if len(self._waiting[longest]) <= len(own) + 1:
                raise _too_many_logins()
            last = self._waiting[longest].pop()
            if not last.done():
                last.set_exception(_too_many_logins())
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(place)
        await place

    def done(self) -> None:
        """Give the turn to who is next."""
        while self._waiting:
            client = next(iter(self._waiting))
            places = self._waiting.pop(client)
            place = places.popleft()
            if places:
                self._waiting[client] = places  # behind all others
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


def _too_many_logins() -> RegistryError:
    return TOOMANYREQUESTS("too many logins are waiting").with_headers(("Retry-After", "1"))


def _client_of(request: Request) -> str:
    """The address that *request* comes from; of IPv6 the first 64 bits, which one client has for
    itself (RFC 4291, 2.5.4)."""
    address = request.client_address
    return str(int(address) >> 64 if isinstance(address, IPv6Address) else address)


def _proofs() -> LruCache[bytes, bool]:
    return LruCache(_MOST_REMEMBERED, entry=1, largest=_MOST_REMEMBERED)


def basic_credentials(authorization: str | None) -> tuple[bytes, bytes] | None:
    """User and password in an ``Authorization`` header, or None if it has none."""
    if authorization is None or authorization[:6].lower() != "basic ":
        return None
    try:
        decoded = base64.b64decode(authorization[6:].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    user, colon, password = decoded.partition(b":")
    return (user, password) if colon else None


def _matches_bcrypt(password: bytes, entry: bytes) -> bool:
    import bcrypt  # slow

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
    """A hash that costs as much to check as *entry* and that no known password matches."""
    return b"$2b$%02d$" % max(_cost(entry), 4) + b"." * 53


def _shown(user: bytes) -> str:
    return user.decode("utf-8", "backslashreplace")


# -- the file -----------------------------------------------------------------------------------
_LARGEST = 16 * 1024 * 1024  # bytes; a hundred thousand users


class HtpasswdSyntax(Exception):
    """A line that is neither ``user:hash`` nor a comment."""


def parse_htpasswd(content: bytes) -> dict[bytes, bytes]:
    """Hashes by user. Blank lines and ``#`` comments are skipped; the last of two lines for one
    user counts. :class:`HtpasswdSyntax` gives the number of the line, not its content."""
    entries: dict[bytes, bytes] = {}
    for number, raw in enumerate(content.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        user, colon, password_hash = line.partition(b":")
        if not colon:
            raise HtpasswdSyntax(f"line {number} is not user:hash")
        entries[user] = password_hash
    return entries


def hash_password(password: str, *, cost: int = 10) -> str:
    """A bcrypt hash as Apache's ``htpasswd -B`` writes it (``$2y$``).

    ``ValueError`` for a *password* of which bcrypt would ignore a part: over 72 bytes, or one that
    holds a NUL.
    """
    import bcrypt

    content = password.encode()
    if len(content) > 72 or b"\0" in content:
        raise ValueError("bcrypt takes at most 72 bytes, none of them zero")
    made = bcrypt.hashpw(content, bcrypt.gensalt(cost)).decode()
    return made.replace("$2b$", "$2y$", 1)  # two names for the same algorithm


def _provision(path: Path) -> str | None:
    """Create *path*, and its parents, with one user ``docker``; returns the random password, or
    None if *path* exists. Raises ``OSError``."""
    if path.exists():
        return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets.token_urlsafe(32)
    line = f"docker:{hash_password(password)}".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(line)
    return password
