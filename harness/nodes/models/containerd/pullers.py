"""Who pulls: the CRI plugin for kubelet and crictl, or ``ctr``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.nodes.models.containerd.credentials import AuthConfig
from harness.nodes.models.login import ANONYMOUS, Login

__all__ = ["Cri", "Ctr", "Puller", "UnknownArgument"]


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
