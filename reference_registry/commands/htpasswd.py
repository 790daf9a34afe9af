"""``htpasswd USER [PASSWORD]``: a line for the file that ``auth.htpasswd`` names."""

from __future__ import annotations

import sys

from reference_registry.auth.htpasswd import hash_password
from reference_registry.commands import Misuse

__all__ = ["htpasswd"]


def htpasswd(user: str, password: str | None, *, by_argument: bool) -> int:
    """Print *user* and the hash of *password*, which is asked for where it is None, unless it was
    to come *by_argument*."""
    if not user or not user.isprintable() or set(user) & set(":#"):
        raise Misuse("a user's name has neither colon nor # nor control characters")
    if by_argument and password is None:
        raise Misuse("-b wants the password as an argument")
    try:
        print(f"{user}:{hash_password(_asked_password() if password is None else password)}")
    except ValueError as error:
        raise Misuse(str(error)) from None
    return 0


def _asked_password() -> str:
    """From the terminal, twice; from a pipe, its first line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    password = getpass("New password: ")
    if getpass("Re-type new password: ") != password:
        raise Misuse("the two passwords differ")
    return password
