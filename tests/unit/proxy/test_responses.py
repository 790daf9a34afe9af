"""The words of logs and of what releases tell their clients."""

from __future__ import annotations

import httpx
import pytest

from reference_registry.proxy.upstream.responses import both_ends, broken_off


class _Stream:
    """A connection of which the operating system knows these ends."""

    def __init__(self, ours: tuple[str, int] | None, theirs: tuple[str, int] | None) -> None:
        self._ends = {"client_addr": ours, "server_addr": theirs}

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return self._ends[name]


def _answer(url: str, stream: _Stream) -> httpx.Response:
    extensions = {"network_stream": stream}
    return httpx.Response(200, request=httpx.Request("GET", url), extensions=extensions)


@pytest.mark.parametrize(
    ("url", "theirs", "ends"),
    [
        ("http://10.0.0.2:5000/v2/", ("10.0.0.2", 5000), "10.0.0.1:40000->10.0.0.2:5000"),
        ("http://10.0.0.2:5000/v2/", None, "10.0.0.1:40000->10.0.0.2:5000"),
        ("https://10.0.0.2/v2/", None, "10.0.0.1:40000->10.0.0.2:443"),
        ("http://[::1]:5000/v2/", None, "10.0.0.1:40000->[::1]:5000"),
        ("https://registry.example/v2/", None, "10.0.0.1:40000->"),
    ],
)
def test_a_connection_that_was_reset_has_two_ends(
    url: str, theirs: tuple[str, int] | None, ends: str
) -> None:
    """The system no longer knows the other one (measured on Linux); releases name it."""
    answer = _answer(url, _Stream(("10.0.0.1", 40000), theirs))
    assert both_ends(answer) == ends
    reset = httpx.ReadError("")
    reset.__cause__ = ConnectionResetError(104, "Connection reset by peer")
    said = broken_off(reset, both_ends(answer))
    assert said == f"read tcp {ends}: read: connection reset by peer"
