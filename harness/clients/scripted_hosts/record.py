"""What a played host was asked."""

from __future__ import annotations

from dataclasses import dataclass

from harness.nodes.models.network import Request

__all__ = ["Seen"]


@dataclass
class Seen:
    """One request, as it arrived."""

    request: Request
    status: int | None = None
    """None while there is no answer, and where it was reset or its body cut short."""
    client_certificate: str | None = None
    """The common name in the certificate that the client showed, if it was asked for one."""
