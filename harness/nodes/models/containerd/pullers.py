"""The pullers: the CRI plugin (for kubelet and crictl) and ``ctr``."""

from __future__ import annotations

import base64
import binascii
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.nodes.models.go_url import InvalidURL, parse_url
from harness.nodes.models.network import ANONYMOUS, Login

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


def node_login(configs: Mapping[str, AuthConfig], endpoint: str | None, host: str) -> Login:
    """The login that ``registry.configs`` of config.toml has for *host*, port included.

    With ``registry.mirrors`` of 1.x the entry of *endpoint* answers every challenge.
    """
    key = host if endpoint is None else endpoint
    entry = configs.get(key)
    return entry.login_for(host, f"registry.configs.{key}.auth") if entry else ANONYMOUS


@dataclass(frozen=True)
class Cri:
    """PullImage of the CRI, as kubelet and crictl call it."""

    auth: AuthConfig | None = None
    """The request's AuthConfig. Even an empty one, unlike None, excludes the node's credentials."""


class UnknownArgument(ValueError):
    """An option of ``ctr`` that the model does not know."""


@dataclass(frozen=True, kw_only=True)
class Ctr:
    """A command of ``ctr``. It reads nothing of the CRI plugin's configuration."""

    command: Literal["pull", "fetch", "fetch-object", "push"] = "pull"
    """``images pull``, ``content fetch``, ``content fetch-object``, ``images push``."""
    hosts_dir: str | None = None
    login: Login = ANONYMOUS
    flags: Mapping[str, str] = field(default_factory=dict)
    """Other options that are set, with their values; ``true`` for a switch. The authorities of
    ``tlscacert`` are trusted instead of the system's."""

    @property
    def tls_flags(self) -> tuple[str, ...]:
        """The TLS options that are set."""
        return tuple(
            n for n in ("skip-verify", "tlscacert", "tlscert", "tlskey") if n in self.flags
        )

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
            name = {"u": "user", "k": "skip-verify"}.get(name, name)
            if name in _SWITCHES:
                values[name] = value or "true"
            elif name in _OPTIONS and (equals or rest):
                values[name] = value if equals else rest.pop(0)
            else:
                raise UnknownArgument(f"ctr option {name!r} is not modelled")
        user, _, secret = values.pop("user", "").partition(":")
        refresh, hosts_dir = values.pop("refresh", ""), values.pop("hosts-dir", hosts_dir)
        login = Login(user, secret if user else refresh, "ctr's command line")
        flags = {n: v for n, v in values.items() if v and (n in _OPTIONS or v == "true")}
        return cls(
            command=command,
            hosts_dir=hosts_dir,
            login=login if login.user or login.secret else ANONYMOUS,
            flags=flags,
        )


_TLS_OPTIONS = ("skip-verify", "tlscacert", "tlscert", "tlskey")
_SWITCHES = ("plain-http", "skip-verify", "local")
_OPTIONS = ("user", "refresh", "hosts-dir", "tlscacert", "tlscert", "tlskey")

Puller = Cri | Ctr
