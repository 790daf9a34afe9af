"""Where upstream may send us, and whom its users' credentials may be shown to."""

from __future__ import annotations

import ipaddress

import httpx
import pytest

from reference_registry.profiles import profile_named
from reference_registry.proxy.upstream.ssrf import (
    is_loopback,
    parse_target,
    reach_of,
    registrable_domain,
    same_origin,
    target_problem,
    trusts_realm,
)


def url(text: str) -> httpx.URL:
    return httpx.URL(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a", "http://a:80/x", True),
        ("https://a:443", "https://A.", True),
        ("http://a", "https://a", False),
        ("http://a:5000", "http://a:5001", False),
        ("http://a", "http://a.b", False),
        ("https://a", "https://a@b", False),
        ("https://a", "https://a:443@b/", False),
        ("https://bücher.example", "https://XN--BCHER-KVA.example.", True),
        ("https://bücher.example", "https://bucher.example", False),
        ("http://127.0.0.1", "http://127.1", False),
    ],
)
def test_same_origin(one: str, other: str, same: bool) -> None:
    assert same_origin(url(one), url(other)) is same


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("auth.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("a.b.c.example.com", "example.com"),
        ("registry.example.co.uk", "example.co.uk"),
        ("co.uk", None),
        ("io", None),
        ("one.azurecr.io", "one.azurecr.io"),
        ("azurecr.io", None),
        ("evilazurecr.io", "evilazurecr.io"),
        ("a.us-docker.pkg.dev", "us-docker.pkg.dev"),
        ("AUTH.Docker.IO.", "docker.io"),
        ("a.github.io", "a.github.io"),
        ("b.a.github.io", "a.github.io"),
        ("one.s3.amazonaws.com", "one.s3.amazonaws.com"),
        ("auth.company.com.au", "company.com.au"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("registry", None),
        ("1.2.3.4.nip.io", "4.nip.io"),
        ("localhost", None),
        ("127.0.0.1", None),
        ("[::1]", None),
        ("2130706433", None),
        ("a..b", None),
    ],
)
def test_registrable_domain(host: str, domain: str | None) -> None:
    assert registrable_domain(host) == domain


REALMS = [
    # upstream, realm, trusted by 2.8, by 3.1, by ideal
    ("https://registry-1.docker.io", "https://auth.docker.io/token", True, True, True),
    ("https://registry.example", "https://registry.example/token", True, True, True),
    ("https://registry.example", "https://evil.test/token", True, False, False),
    ("https://registry.example", "https://registry.example.evil.test/", True, False, False),
    ("https://one.azurecr.io", "https://two.azurecr.io/token", True, False, False),
    ("https://a.co.uk", "https://b.co.uk/token", True, False, False),
    ("https://registry.example", "https://REGISTRY.example./token", True, True, True),
    ("https://registry.example", "https://registry.example@evil.test/", True, False, False),
    ("https://registry.example", "https://registry.example%2eevil.test/", True, False, False),
    ("https://auth.bücher.example", "https://xn--bcher-kva.example/token", True, True, True),
    ("https://one.github.io", "https://two.github.io/token", True, False, False),
    ("https://one.company.com.au", "https://auth.company.com.au/token", True, True, True),
    ("http://127.0.0.1:5000", "http://127.0.0.1:5000/token", True, True, True),
    ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", True, False, True),
    ("http://127.0.0.1:5000", "http://localhost:5001/token", True, False, True),
    ("http://127.0.0.1:5000", "http://127.0.0.2:5000/token", True, False, False),
    ("http://10.0.0.7:5000", "http://10.0.0.7:5001/token", True, False, True),
    ("http://10.0.0.7:5000", "http://10.0.0.8:5001/token", True, False, False),
    ("http://10.0.0.7:5000", "http://127.0.0.1:5001/token", True, False, False),
    ("https://registry.example", "http://registry.example/token", True, True, False),
]


@pytest.mark.parametrize(("upstream", "realm", "old", "new", "ideal"), REALMS)
def test_trusted_realms(upstream: str, realm: str, old: bool, new: bool, ideal: bool) -> None:
    """#13.8 of what was measured: any before 3.1, same site since (CVE-2026-33540)."""
    found = {
        name: trusts_realm(url(upstream), url(realm), profile_named(name))
        for name in ("2.8", "3.1", "ideal")
    }
    assert found == {"2.8": old, "3.1": new, "ideal": ideal}


@pytest.mark.parametrize(
    ("upstream", "target", "problem"),
    [
        ("https://registry.example", "https://cdn.test/blob", None),
        ("http://registry.example", "http://cdn.test/blob", None),
        ("https://registry.example", "https://registry.example/elsewhere", None),
        ("https://registry.example", "http://cdn.test/blob", "https"),
        ("https://registry.example", "https://u:p@cdn.test/", "user"),
        ("https://registry.example", "https://169.254.169.254/latest", "local"),
        ("https://registry.example", "https://[fe80::1]/", "local"),
        ("https://registry.example", "https://[::ffff:169.254.169.254]/", "local"),
        ("https://registry.example", "https://127.0.0.1/", "local"),
        ("https://registry.example", "https://127.1/", "local"),
        ("https://registry.example", "https://0x7f000001/", "local"),
        ("https://registry.example", "https://2130706433/", "local"),
        ("https://registry.example", "https://0.0.0.0/", "local"),
        ("https://registry.example", "https://localhost/", "local"),
        ("https://registry.example", "https://LOCALHOST./", "local"),
        ("https://registry.example", "https://a.localhost/", "local"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:6000/", None),
        ("http://127.0.0.1:5000", "http://localhost:6000/", None),
        ("http://127.0.0.1:5000", "http://169.254.169.254/", "local"),
        ("https://registry.example", "https://10.0.0.1/", None),
    ],
)
def test_targets(upstream: str, target: str, problem: str | None) -> None:
    found = target_problem(url(upstream), url(target))
    assert (found is None) if problem is None else (found is not None and problem in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/x?y=1#z", "http://a/x?y=1"),
        ("https://b/x", "https://b/x"),
        ("//b/x", "http://b/x"),
        ("ftp://b/x", None),
        ("file:///etc/passwd", None),
        ("http://", "http://a/base"),
        ("http://[", None),
        ("javascript:alert(1)", None),
        ("http://b:99999999/", None),
    ],
)
def test_parse_target(text: str, expected: str | None) -> None:
    found = parse_target(text, url("http://a/base"))
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("127.0.0.1", "here"),
        ("::1", "here"),
        ("::", "here"),
        ("0.0.0.0", "here"),
        ("::ffff:127.0.0.1", "here"),
        ("2002:7f00:1::", "here"),
        ("64:ff9b::127.0.0.1", "here"),
        ("169.254.169.254", "link"),
        ("64:ff9b::a9fe:a9fe", "link"),
        ("fe80::1", "link"),
        ("224.0.0.1", "link"),
        ("ff02::1", "link"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("140.82.121.4", "public"),
        ("64:ff9b::8c52:7904", "public"),
        ("2606:50c0:8000::153", "public"),
    ],
)
def test_who_can_be_at_an_address(address: str, reach: str) -> None:
    assert reach_of(ipaddress.ip_address(address)) == reach


@pytest.mark.parametrize(
    "host", ["localhost", "a.localhost", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    assert not is_loopback(f"x{host}.example")
