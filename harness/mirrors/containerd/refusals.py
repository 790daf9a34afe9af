"""Ways in which a pull ends before any request, raised while the plan is made."""

from __future__ import annotations

from typing import NoReturn

from harness.mirrors.containerd.plan import Refusal

__all__ = ["Refused", "refuse"]


class Refused(Exception):
    """There will be no request; ``refusal`` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refuse(message: str) -> NoReturn:
    """End the pull with containerd's *message* while it resolves the reference."""
    raise Refused(Refusal(message))
