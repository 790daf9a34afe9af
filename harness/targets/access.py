"""How to access a registry that runs already: options and environment as values. Wrong ones raise
``TargetError`` with one line, which never repeats a value: it may be a password."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.targets.errors import TargetError
from harness.targets.target import Identity, release_series
from harness.upstream.specs import parse_address, parse_login

LOGIN_VARIABLE = "PULLPROOF_LOGIN"
"""The environment variable for ``--login``: all users can see command lines (ps(1))."""

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)")
_KNOWN_AS = re.compile(r"([a-z][\w-]*)@(\w[\w.+-]*)")
_IMPLEMENTATIONS = {
    "distribution": "distribution",
    "docker-registry": "distribution",
    "drayage": "drayage",
}
"""Names for ``--known-as``, and whose deviations they have. differences.toml names builds."""


@dataclass(frozen=True)
class TargetAccess:
    """The defaults are for an open registry with its operator's upstream."""

    login: tuple[str, str] | None = field(default=None, repr=False)
    """User and password."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent with every request to the registry, and nowhere else."""
    ca: Path | None = None
    """Certificates to trust, as PEM; None: those of the machine."""
    upstream_at: tuple[str, int] | None = None
    """The address of the registry's upstream, where the mock upstream listens."""
    allow_writes: bool = False
    known_as: Identity | None = None
    """What it is, by ``--known-as``."""
    build: str | None = None
    """Its name in differences.toml if it is a build: ``docker-registry``."""

    @classmethod
    def read(
        cls,
        *,
        login: str | None = None,
        headers: Sequence[str] = (),
        ca: Path | None = None,
        upstream_at: str | None = None,
        allow_writes: bool = False,
        known_as: str | None = None,
        environment: Mapping[str, str],
    ) -> TargetAccess:
        """From options; *login* is ``USER:PASSWORD`` or ``@FILE``. Raises ``TargetError``."""
        given = login or environment.get(LOGIN_VARIABLE)
        build, identity = _known_as(known_as) if known_as else (None, None)
        return cls(
            _login(given) if given else None,
            tuple(map(_header, headers)),
            ca,
            _address(upstream_at) if upstream_at else None,
            allow_writes,
            identity,
            build,
        )

    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be shown."""
        own = () if self.login is None else (basic_credentials(self.login), self.login[1])
        return (*(value for _, value in self.headers), *own)

    def tls(self) -> ssl.SSLContext:
        """The context that checks certificates. ``TargetError`` if the CA file cannot be used."""
        try:
            return ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError as problem:
            raise TargetError(f"--ca: {self.ca} holds no certificates in PEM") from problem
        except OSError as problem:
            raise TargetError(f"--ca: {self.ca}: {problem.strerror}") from problem


def basic_credentials(login: tuple[str, str]) -> str:
    """*login* encoded for ``Authorization: Basic`` (RFC 7617)."""
    return b64encode(":".join(login).encode()).decode()


def _login(text: str) -> tuple[str, str]:
    if text.startswith("@"):
        file = Path(text[1:]).expanduser()
        try:
            text = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or "is not text"
            raise TargetError(f"--login: {file}: {reason}") from problem
    try:
        return parse_login(text)
    except ValueError as problem:
        raise TargetError(
            f"--login: takes USER:PASSWORD, or @FILE with that in it, or {LOGIN_VARIABLE} in the "
            "environment"
        ) from problem


def _header(text: str) -> tuple[str, str]:
    header = _HEADER.fullmatch(text)
    if header is None:
        raise TargetError("--header: takes 'Name: value' in ASCII")
    if header[1].lower() in {"host", "content-length", "transfer-encoding", "connection"}:
        raise TargetError(f"--header: {header[1]} belongs to the request itself")
    return header[1], header[2].strip()


def _address(text: str) -> tuple[str, int]:
    try:
        host, port = parse_address(text)
    except ValueError as problem:
        raise TargetError(f"--upstream-at: {problem}") from problem
    if port == 0:
        raise TargetError("--upstream-at: needs the port that the registry's upstream has")
    return host, port


def _known_as(text: str) -> tuple[str | None, Identity]:
    known = _KNOWN_AS.fullmatch(text)
    if known is None or known[1] not in _IMPLEMENTATIONS:
        raise TargetError(
            f"--known-as: {text!r} must look like distribution@2.8; deviations are listed for "
            + ", ".join(_IMPLEMENTATIONS)
        )
    series = release_series(known[2])
    version = known[2] if series == "unknown" else series
    implementation = _IMPLEMENTATIONS[known[1]]
    build = None if known[1] == implementation else known[1]
    return build, Identity(implementation, version, known[2])
