"""The pullers: the CRI plugin (for kubelet and crictl) and ``ctr``."""

from __future__ import annotations

import base64
import binascii
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from harness.nodes.models.attempts import ANONYMOUS, Login
from harness.nodes.models.go_url import InvalidURL, parse_url

__all__ = [
    "AuthConfig",
    "CredentialError",
    "CredentialSource",
    "Cri",
    "Ctr",
    "NodeCredentials",
    "Puller",
    "RequestCredentials",
    "SameForAll",
    "Transferred",
    "UnknownArgument",
]


_BASE64 = frozenset(string.ascii_letters + string.digits + "+/")


class CredentialError(Exception):
    """The credentials are invalid; the request to that host fails."""


@dataclass(frozen=True)
class AuthConfig:
    """CRI's AuthConfig: what kubelet sends with a pull, and what config.toml holds per host.

    kubelet fills user and password only. ``registry_token`` is carried by the API and never used.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    """base64 of ``user:password``."""
    server_address: str = ""
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def login_for(self, host: str, origin: str) -> Login:
        """The login for *host* after its challenge. Raises :class:`CredentialError`.

        ``server_address`` must be a URL with exactly *host* as host and port; without a scheme it
        never matches.
        """
        if self.server_address:
            try:
                address = parse_url(self.server_address)
            except InvalidURL as error:
                raise CredentialError(
                    f'parse server address: parse "{self.server_address}": {error}'
                ) from None
            if address.host != host:
                return ANONYMOUS
        if self.username:
            return Login(self.username, self.password, origin)
        if self.identity_token:
            return Login("", self.identity_token, origin)
        if self.auth:
            user, secret = _decoded(self.auth)
            return Login(user, secret, origin)
        return ANONYMOUS


def _decoded(auth: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(auth.replace("\r", "").replace("\n", ""), validate=True).decode(
            "utf-8", "surrogateescape"
        )
    except (binascii.Error, ValueError):
        raise CredentialError(f"illegal base64 data at input byte {_first_illegal(auth)}") from None
    user, colon, secret = text.partition(":")
    if not colon:
        raise CredentialError("invalid decoded auth: no colon in it")
    return user, secret.strip("\x00")


def _first_illegal(auth: str) -> int:
    """The byte that Go's decoder stops at (encoding/base64): one outside the alphabet, padding that
    comes too early, or the start of an unfinished group of four."""
    group = 0
    start = 0
    for number, character in enumerate(auth):
        if character in "\r\n":
            continue
        if character not in _BASE64 and not (character == "=" and group >= 2):
            return len(auth[:number].encode())
        if group == 0:
            start = number
        group = (group + 1) % 4
    return start


class CredentialSource(Protocol):
    """Gives the login for a host that sent a challenge."""

    def login_for(self, host: str) -> Login:
        """The login for *host* (with its port). Raises :class:`CredentialError`."""


@dataclass(frozen=True)
class RequestCredentials:
    """The AuthConfig of the pull request; even an empty one excludes all other credentials."""

    auth: AuthConfig

    def login_for(self, host: str) -> Login:
        """The request's credentials if they are for *host* or for any host."""
        return self.auth.login_for(host, "the pull request (imagePullSecret)")


@dataclass(frozen=True)
class NodeCredentials:
    """``registry.configs.HOST.auth`` of config.toml."""

    configs: Mapping[str, AuthConfig]
    endpoint: str | None = None
    """With ``registry.mirrors`` of 1.x: the endpoint whose entry answers every challenge."""

    def login_for(self, host: str) -> Login:
        """The entry whose key is *host*, port included, or the endpoint's."""
        key = host if self.endpoint is None else self.endpoint
        entry = self.configs.get(key)
        return entry.login_for(host, f"registry.configs.{key}.auth") if entry else ANONYMOUS


@dataclass(frozen=True)
class Transferred:
    """Credentials as the transfer service gets them from the CRI plugin: errors name the host."""

    source: CredentialSource

    def login_for(self, host: str) -> Login:
        """The login that *source* has for *host*."""
        try:
            return self.source.login_for(host)
        except CredentialError as error:
            text = f'failed to get credentials for "{host}": {error}'
            raise CredentialError(text) from None


@dataclass(frozen=True)
class SameForAll:
    """``ctr --user`` or ``--refresh``: any host that sends a challenge gets it."""

    login: Login

    def login_for(self, host: str) -> Login:
        """The login."""
        del host
        return self.login


@dataclass(frozen=True)
class Cri:
    """PullImage of the CRI, as kubelet and crictl call it."""

    auth: AuthConfig | None = None
    """The request's AuthConfig. None and an empty one differ: see ``RequestCredentials``."""


class UnknownArgument(ValueError):
    """An option of ``ctr`` that the model does not know."""


@dataclass(frozen=True, kw_only=True)
class Ctr:
    """A command of ``ctr``. It reads nothing of the CRI plugin's configuration."""

    command: Literal["pull", "fetch", "fetch-object", "push"] = "pull"
    """``images pull``, ``content fetch``, ``content fetch-object``, ``images push``."""
    hosts_dir: str | None = None
    login: Login = field(default=ANONYMOUS)
    plain_http: bool = False
    skip_verify: bool = False
    ca: str | None = None
    """The file given with ``--tlscacert``, trusted instead of the system's authorities."""
    certificate: str | None = None
    key: str | None = None
    local: bool = False

    @property
    def tls_flags(self) -> tuple[str, ...]:
        """The TLS options that are set, by name."""
        flags = {
            "skip-verify": self.skip_verify,
            "tlscacert": self.ca,
            "tlscert": self.certificate,
            "tlskey": self.key,
        }
        return tuple(name for name, value in flags.items() if value)

    @classmethod
    def from_arguments(
        cls,
        command: Literal["pull", "fetch", "fetch-object", "push"],
        arguments: Sequence[str],
        hosts_dir: str | None = None,
    ) -> Ctr:
        """The command with its options as typed. Raises :class:`UnknownArgument`."""
        values: dict[str, str] = {}
        rest = list(arguments)
        while rest:
            name, equals, value = rest.pop(0).lstrip("-").partition("=")
            if name in _SWITCHES:
                values[name] = value or "true"
            elif name in _OPTIONS and (equals or rest):
                values[name] = value if equals else rest.pop(0)
            else:
                raise UnknownArgument(f"ctr option {name!r} is not modelled")
        user, _, secret = (values.get("user") or values.get("u") or "").partition(":")
        if not user:
            secret = values.get("refresh", "")
        return cls(
            command=command,
            hosts_dir=values.get("hosts-dir", hosts_dir),
            login=Login(user, secret, "ctr's command line") if user or secret else ANONYMOUS,
            plain_http=values.get("plain-http") == "true",
            skip_verify="true" in {values.get("skip-verify"), values.get("k")},
            ca=values.get("tlscacert"),
            certificate=values.get("tlscert"),
            key=values.get("tlskey"),
            local=values.get("local") == "true",
        )


_SWITCHES = frozenset({"plain-http", "skip-verify", "k", "local"})
_OPTIONS = frozenset({"user", "u", "refresh", "hosts-dir", "tlscacert", "tlscert", "tlskey"})

Puller = Cri | Ctr
