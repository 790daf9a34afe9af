"""The words of logs and of what releases tell their clients."""

from __future__ import annotations

import httpx
import pytest

from reference_registry.proxy.upstream.responses import cause_of


@pytest.mark.parametrize(
    ("url", "theirs", "ends"),
    [
        ("http://10.0.0.2:5000/v2/", ("10.0.0.2", 5000), "10.0.0.1:40000->10.0.0.2:5000"),
        ("http://10.0.0.2:5000/v2/", None, "10.0.0.1:40000->10.0.0.2:5000"),
        ("https://10.0.0.2/v2/", None, "10.0.0.1:40000->10.0.0.2:443"),
        ("http://[::1]:5000/v2/", None, "10.0.0.1:40000->[::1]:5000"),
    ],
)
def test_a_connection_that_was_reset_has_two_ends(
    url: str, theirs: tuple[str, int] | None, ends: str
) -> None:
    """The system no longer knows the other one (measured on Linux); releases name it."""
    extensions = {"ends": (("10.0.0.1", 40000), theirs)}
    request = httpx.Request("GET", url, extensions=extensions)
    reset = httpx.ReadError("")
    reset.__cause__ = ConnectionResetError(104, "Connection reset by peer")
    assert cause_of(reset, request) == f"read tcp {ends}: read: connection reset by peer"
