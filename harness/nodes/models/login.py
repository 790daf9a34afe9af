"""A user and a secret, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ANONYMOUS", "Login"]


@dataclass(frozen=True)
class Login:
    """A user and a secret. An identity token is a secret without a user."""

    user: str = ""
    secret: str = field(default="", repr=False)
    origin: str = "nobody"
    """Where it comes from, in words for the reader."""


ANONYMOUS = Login()
