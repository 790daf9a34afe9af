"""The htpasswd file: lines of ``user:hash``, of which only bcrypt hashes count.

Format: https://httpd.apache.org/docs/2.4/misc/password_encryptions.html; that only bcrypt is
accepted is distribution's rule (``registry/auth/htpasswd``).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

__all__ = ["HtpasswdFile", "HtpasswdSyntax", "hash_password", "parse_htpasswd", "provision"]

_LARGEST = 16 * 1024 * 1024  # bytes; a hundred thousand users


class HtpasswdSyntax(Exception):
    """A line that is neither ``user:hash`` nor a comment."""


def parse_htpasswd(content: bytes) -> dict[bytes, bytes]:
    """Hashes by user. Blank lines and ``#`` comments are skipped; the last of two lines for one
    user counts. :class:`HtpasswdSyntax` names the line, not what it holds."""
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


class HtpasswdFile:
    """The entries of a file that may change at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: Mapping[bytes, bytes] = {}
        self._stamp: tuple[int, int, int] | None = None

    def entries(self) -> Mapping[bytes, bytes]:
        """What the file holds now; the same object as long as it has not changed.

        Raises ``OSError`` and :class:`HtpasswdSyntax`.
        """
        found = self.path.stat()
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            with self.path.open("rb") as file:
                content = file.read(_LARGEST + 1)
            if len(content) > _LARGEST:
                raise HtpasswdSyntax(f"larger than {_LARGEST} bytes")
            self._entries = parse_htpasswd(content)
            self._stamp = stamp
        return self._entries


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


def provision(path: Path) -> str | None:
    """Create *path*, and its parents, with one user ``docker``; returns the random password, or
    None where there is something at *path* already. Raises ``OSError``."""
    if path.exists():
        return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets.token_urlsafe(32)
    line = f"docker:{hash_password(password)}".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(line)
    return password
