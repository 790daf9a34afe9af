"""Ways in which a pull ends before any request, raised while the plan is made."""

from __future__ import annotations

from typing import NoReturn

from harness.nodes.models.containerd.certs_d import Finding
from harness.nodes.models.containerd.config_files import InvalidConfig
from harness.nodes.models.containerd.plan import Refusal
from harness.nodes.models.containerd.pullers import Ctr, Puller

__all__ = ["Refused", "not_started", "refuse"]

_SOCKET = "/run/containerd/containerd.sock"


class Refused(Exception):
    """There will be no request; ``refusal`` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refuse(message: str) -> NoReturn:
    """End the pull with containerd's *message* while it resolves the reference."""
    raise Refused(Refusal(message))


def not_started(error: InvalidConfig, puller: Puller) -> Refusal:
    """What *puller* is told where config.toml keeps the CRI plugin, or all of containerd, down."""
    if not error.stops_containerd:
        finding = Finding(f"the CRI plugin does not load: {error.reason}", error.file, error.line)
        return Refusal("unknown service runtime.v1.ImageService", False, "UNIMPLEMENTED", finding)
    finding = Finding(f"containerd does not start: {error.reason}", error.file, error.line)
    if isinstance(puller, Ctr):
        text = f"cannot access socket {_SOCKET}: no such file or directory"
        return Refusal(text, False, None, finding)
    text = f"Error while dialing: dial unix {_SOCKET}: connect: no such file or directory"
    said = f'connection error: desc = "transport: {text}"'
    return Refusal(said, False, "UNAVAILABLE", finding)
