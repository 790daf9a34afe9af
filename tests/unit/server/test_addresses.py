"""Addresses to listen on."""

from __future__ import annotations

import pytest

from reference_registry.config.units import ListenAddress, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        (":5000", "", 5000, "[::]:5000"),
        ("127.0.0.1:0", "127.0.0.1", 0, "127.0.0.1:0"),
        ("localhost:5000", "localhost", 5000, "localhost:5000"),
        ("[::1]:80", "::1", 80, "[::1]:80"),
        (":http", "", 80, "[::]:80"),
        ("", "", 0, "[::]:0"),
        (":", "", 0, "[::]:0"),
    ],
)
def test_forms(text: str, host: str, port: int, shown: str) -> None:
    address = parse_address(text)
    assert address == ListenAddress(host, port)
    assert str(address) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("80", "the colon is missing"),
        ("localhost", "the port is missing"),
        ("http://localhost:80", "it is a URL"),
        ("::1:80", "an IPv6 address needs brackets"),
        (":65536", "port 65536 does not exist"),
        (":123456789012", "does not exist"),
        (":no-such-service", "'no-such-service' is not a port"),
        (":-1", "'-1' is not a port"),
        (":٣", "does not exist"),
    ],
)
def test_invalid_addresses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_address(text)
