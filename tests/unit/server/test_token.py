"""``auth.token``: which tokens are accepted, and the challenge for the others.

``_TOKENS`` was measured on 2.8.2, 3.0.0-alpha.1, 3.0.0 and 3.1.1.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from reference_registry.auth.token import TokenAuthenticator, _parse_claims, _UnreadableClaims
from reference_registry.auth.token_keys import (
    TrustedKeys,
    Untrusted,
    keys_in,
    libtrust_id,
    thumbprint,
)
from reference_registry.clock import ManualClock, SystemClock
from reference_registry.config import TokenConfig
from reference_registry.config.problem import CannotStart
from reference_registry.http.errors import RegistryError
from reference_registry.http.hooks import Access
from reference_registry.http.messages import Request
from reference_registry.profiles import IDEAL, PROFILES, Profile
from tests.support.requests import a_request
from tests.unit.server.tokens import (
    ISSUER,
    SERVICE,
    PrivateKey,
    TokenServer,
    certificate,
    jwk_of,
    x5c,
)

_PULL = Access("repository", "app", "pull")
_CHALLENGE = f'Bearer realm="https://auth.test/token",service="{SERVICE}"'


@pytest.fixture(scope="module")
def server() -> TokenServer:
    return TokenServer()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, server: TokenServer) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    (directory / "root.pem").write_bytes(server.bundle)
    (directory / "jwks.json").write_bytes(server.jwks)
    return directory


def _config(files: Path, **changes: Any) -> TokenConfig:
    values: dict[str, Any] = {
        "realm": "https://auth.test/token",
        "service": SERVICE,
        "issuer": ISSUER,
        "rootcertbundle": files / "root.pem",
        "jwks": files / "jwks.json",
    }
    return TokenConfig(**(values | changes))


def _request(authorization: str | None, **headers: str) -> Request:
    if authorization is not None:
        headers["authorization"] = authorization
    return a_request("/v2/app/manifests/v1", **headers)


def _authenticate(
    config: TokenConfig,
    request: Request,
    profile: Profile = IDEAL,
    access: list[Access] | None = None,
    clock: ManualClock | None = None,
) -> str | None:
    async def ask() -> str | None:
        authenticator = TokenAuthenticator(config, profile, clock or ManualClock())
        await authenticator.start()
        try:
            return await authenticator.authenticate(request, [_PULL] if access is None else access)
        finally:
            await authenticator.stop()

    return asyncio.run(ask())


@pytest.mark.parametrize("value", [b"9" * 5000, b"[" * 20_000, b"1e999", b"NaN"])
@pytest.mark.parametrize("claim", [b"exp", b"nbf", b"else"])
def test_claims_that_cannot_be_read(claim: bytes, value: bytes) -> None:
    if claim == b"else" and value in {b"1e999", b"NaN"}:
        pytest.skip("an unknown claim may be any number")
    with pytest.raises(_UnreadableClaims):
        _parse_claims(b'{"%s":%s}' % (claim, value), audience_list=True)


# -- tokens -------------------------------------------------------------------------------------
def _kid(key: PrivateKey, name: Callable[[Any], str]) -> dict[str, Any]:
    return {"kid": name(key.public_key())}


def _unsigned(server: TokenServer) -> str:
    _, claims, _ = server.token().split(".")
    header = json.dumps({"alg": "none", "x5c": x5c(server.root_certificate)}).encode()
    return f"{_base64(header)}.{claims}."


def _secret(server: TokenServer) -> str:
    """The public key taken for a shared secret."""
    _, claims, _ = server.token().split(".")
    header = json.dumps({"alg": "HS256", "x5c": x5c(server.root_certificate)}).encode()
    signed = f"{_base64(header)}.{claims}"
    public = server.root.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"{signed}.{_base64(hmac.digest(public, signed.encode(), 'sha256'))}"


def _forged(server: TokenServer) -> str:
    header, claims, _ = server.token().split(".")
    return f"{header}.{claims}.{_base64(bytes(256))}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _leaf(kind: str) -> Callable[[TokenServer], str]:
    return lambda server: _by_leaf(server, kind)


def _by_leaf(server: TokenServer, kind: str) -> str:
    """Signed by the key of a certificate that the root has issued, or nearly so."""
    key, between = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = (server.root_certificate, server.root)
    ca = certificate("between", between, root, ca=True)
    no_ca = certificate("leaf too", between, root)
    other = certificate("other", between, ca=True)
    chains: dict[str, tuple[x509.Certificate, ...]] = {
        "leaf": (certificate("leaf", key, root),),
        "through another": (certificate("leaf", key, (ca, between)), ca),
        "gap": (certificate("leaf", key, (ca, between)),),
        "expired": (certificate("leaf", key, root, days=(-5, -3)),),
        "to come": (certificate("leaf", key, root, days=(3, 5)),),
        "no ca": (certificate("leaf", key, (no_ca, between)), no_ca),
        "not from the root": (certificate("leaf", key, (other, between)), other),
        "root of its own": (certificate("root", key, ca=True),),
        "another key": (server.root_certificate,),
    }
    chain = chains[kind.removeprefix("jwk ")]
    header: dict[str, Any] = {"x5c": x5c(*chain)}
    if kind.startswith("jwk "):
        header = {"jwk": jwk_of(key, x5c=x5c(*chain))}
    return server.token(key, "ES256", header)


def _as(algorithm: str, **header: Any) -> Callable[[TokenServer], str]:
    def make(server: TokenServer) -> str:
        keys: dict[str, PrivateKey] = {
            "ES256": server.curve,
            "ES384": server.listed,
            "EdDSA": server.edwards,
        }
        return server.token(keys.get(algorithm, server.root), algorithm, header or None)

    return make


def _with(**claims: Any) -> Callable[[TokenServer], str]:
    return lambda server: server.token(None, "RS256", None, **claims)


def _access(*actions: str, name: str = "app", **more: str) -> dict[str, Any]:
    return {"type": "repository", "name": name, "actions": list(actions), **more}


def _stranger(server: TokenServer, **members: Any) -> str:
    """Signed by an unknown key, which is in the header."""
    key = ec.generate_private_key(ec.SECP384R1())
    return server.token(key, "ES384", {"jwk": jwk_of(key, **members)})


_GOOD, _BAD, _SCOPE = "ok " * 5, "invalid " * 5, "scope " * 5
_SINCE_3, _ONLY_2_8 = "invalid ok ok ok ok", "ok invalid invalid invalid ok"
_UNREADABLE = "invalid plain plain plain invalid"

# The result of a token under 2.8, 3.0.0-alpha.1, 3.0, 3.1, ideal. "ok": it passes; "invalid",
# "scope": the challenge has that error; "plain": it has none. alpha.1 accepts one that it must not
# (CVE-2025-24976), which is not imitated.
_TOKENS: dict[str, tuple[Callable[[TokenServer], str], str]] = {
    "good": (_with(), _GOOD),
    "garbage": (lambda _: "abc", _BAD),
    "two words": (lambda _: "a b", "plain invalid invalid invalid invalid"),
    "a deep header": (lambda _: f"{_base64(b'[' * 20_000)}.e30.AA", _BAD),
    "a number of 5,000 digits in the header": (
        lambda _: _base64(b'{"alg":' + b"9" * 5000 + b"}") + ".e30.AA",
        _BAD,
    ),
    "longer than any token": (lambda s: s.token(None, "RS256", {}, sub="x" * 50_000), _BAD),
    "no text": (lambda _: "\x80\xff.\xfe.\x90", _BAD),
    # Names of keys
    "kid of libtrust": (lambda s: s.token(None, "RS256", _kid(s.root, libtrust_id)), _ONLY_2_8),
    "kid of libtrust, curve": (
        lambda s: s.token(s.curve, "ES256", _kid(s.curve, libtrust_id)),
        _ONLY_2_8,
    ),
    "kid by thumbprint": (
        lambda s: s.token(None, "RS256", _kid(s.root, thumbprint)),
        "invalid invalid ok ok ok",
    ),
    "kid of jwks": (_as("ES384", kid="listed"), _SINCE_3),
    "kid of jwks, Edwards curve": (_as("EdDSA", kid="edwards"), _SINCE_3),
    "kid of another key": (_as("ES256", kid="listed"), _UNREADABLE),
    "kid unknown": (_as("RS256", kid="what"), _BAD),
    "no kid": (lambda s: s.token(None, "RS256", {}), _BAD),
    # Certificates
    "leaf": (_leaf("leaf"), _GOOD),
    "leaf through another": (_leaf("through another"), _GOOD),
    "leaf over a gap": (_leaf("gap"), _BAD),
    "leaf expired": (_leaf("expired"), _BAD),
    "leaf to come": (_leaf("to come"), _BAD),
    "leaf issued by a leaf": (_leaf("no ca"), _BAD),
    "leaf of others": (_leaf("not from the root"), _BAD),
    "root of the same name": (_leaf("root of its own"), _BAD),
    "another's certificate": (_leaf("another key"), _UNREADABLE),
    "not certificates": (_as("RS256", x5c=["!!"]), _BAD),
    "no certificates": (_as("RS256", x5c=[]), _BAD),
    "certificates by name": (_as("RS256", x5c={"a": "b"}), _BAD),
    "certificates nested": (_as("RS256", x5c=[["a"]]), _BAD),
    # Keys that come along
    "jwk of the root": (lambda s: s.token(None, "RS256", {"jwk": jwk_of(s.root)}), _ONLY_2_8),
    "jwk by name": (
        lambda s: s.token(s.listed, "ES384", {"jwk": jwk_of(s.listed, kid="listed")}),
        _SINCE_3,
    ),
    "jwk with a certificate": (_leaf("jwk leaf"), _GOOD),
    "jwk with an untrusted certificate": (_leaf("jwk root of its own"), _BAD),
    "jwk of a stranger": (_stranger, _BAD),
    "jwk of a stranger with a good name": (lambda s: _stranger(s, kid="listed"), _UNREADABLE),
    "jwk of unknown kind": (_as("RS256", jwk={"kty": "what"}), _BAD),
    "jwk without members": (_as("RS256", jwk={"kty": "RSA"}), _BAD),
    "jwk that is text": (_as("RS256", jwk="text"), _BAD),
    # Signatures
    "RS512": (_as("RS512"), _GOOD),
    "PS256": (_as("PS256"), _SINCE_3),
    "no signature": (_unsigned, "invalid plain invalid invalid invalid"),
    "public key as secret": (_secret, _UNREADABLE),
    "forged": (_forged, _UNREADABLE),
    # Claims
    "from another": (_with(iss="else"), _BAD),
    "for another": (_with(aud="else"), _BAD),
    "for several": (_with(aud=["else", SERVICE]), _SINCE_3),
    "without an audience": (_with(aud=...), _BAD),
    "just expired": (_with(exp=-30), _GOOD),
    "expired": (_with(exp=-90), _BAD),
    "without an expiry": (_with(exp=...), _BAD),
    "expiry as text": (_with(exp="2999"), _UNREADABLE),
    "expiry as a fraction": (_with(exp=4e9 + 0.5), _UNREADABLE),
    "expiry as a boolean": (_with(exp=True), _UNREADABLE),
    "good soon": (_with(nbf=30), _GOOD),
    "good later": (_with(nbf=90), _BAD),
    "without a start": (_with(nbf=...), _GOOD),
    "without a subject": (_with(sub=...), _GOOD),
    # Access
    "another repository": (_with(access=[_access("pull", name="b")]), _SCOPE),
    "another action": (_with(access=[_access("push")]), _SCOPE),
    "another type": (_with(access=[{**_access("pull"), "type": "registry"}]), _SCOPE),
    "every action": (_with(access=[_access("*")]), _GOOD),
    "action by action": (_with(access=[_access("push"), _access("pull")]), _GOOD),
    "a class": (_with(access=[_access("pull", **{"class": "plugin"})]), _GOOD),
    "no access": (_with(access=...), _SCOPE),
    "null access": (_with(access=None), _SCOPE),
    "access as text": (_with(access="all"), _UNREADABLE),
    "expiry of many digits": (_with(exp=10**4000), _GOOD),
    "access of numbers": (_with(access=[5]), _UNREADABLE),
    "actions as text": (_with(access=[{**_access(), "actions": "pull"}]), _UNREADABLE),
    "actions of numbers": (_with(access=[{**_access(), "actions": [5]}]), _UNREADABLE),
}
_ERRORS = {"invalid": "invalid_token", "scope": "insufficient_scope"}


def _expected_challenge(outcome: str) -> str:
    error = f',error="{_ERRORS[outcome]}"' if outcome in _ERRORS else ""
    return f'{_CHALLENGE},scope="repository:app:pull"{error}'


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", _TOKENS)
def test_token(name: str, profile: str, server: TokenServer, files: Path) -> None:
    make, outcomes = _TOKENS[name]
    order = ["2.8", "3.0.0-alpha.1", "3.0", "3.1", "ideal"]
    outcome = outcomes.split()[order.index(profile)]
    request = _request(f"Bearer {make(server)}")
    if outcome == "ok":
        user = _authenticate(_config(files), request, PROFILES[profile])
        assert user == ("" if name == "without a subject" else "bob")
        return
    with pytest.raises(RegistryError) as refused:
        _authenticate(_config(files), request, PROFILES[profile])
    assert refused.value.status == 401
    assert refused.value.code == "UNAUTHORIZED"
    assert refused.value.headers == (("Www-Authenticate", _expected_challenge(outcome)),)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "abc"])
def test_no_token(authorization: str | None, files: Path) -> None:
    with pytest.raises(RegistryError) as refused:
        _authenticate(_config(files), _request(authorization))
    assert refused.value.headers == (("Www-Authenticate", _expected_challenge("plain")),)


def test_expiry_uses_the_registry_clock(server: TokenServer, files: Path) -> None:
    clock, request = ManualClock(), _request(f"Bearer {server.token(exp=300)}")
    clock.advance(timedelta(seconds=350))
    assert _authenticate(_config(files), request, clock=clock) == "bob"
    clock.advance(timedelta(seconds=20))
    with pytest.raises(RegistryError):
        _authenticate(_config(files), request, clock=clock)


def test_certificates_are_checked_at_the_registry_clock(server: TokenServer, files: Path) -> None:
    clock = ManualClock()
    clock.advance(timedelta(days=30))
    request = _request(f"Bearer {server.token(exp=31 * 86_400)}")
    with pytest.raises(RegistryError):
        _authenticate(_config(files), request, clock=clock)


def test_a_key_that_may_not_sign_certificates(server: TokenServer, files: Path) -> None:
    """RFC 5280, 4.2.1.3."""
    usage = x509.KeyUsage(True, *[False] * 8)  # digital signatures only
    between, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = (server.root_certificate, server.root)
    issuer = certificate("between", between, root, ca=True, usage=usage)
    leaf = certificate("leaf", key, (issuer, between))
    token = server.token(key, "ES256", {"x5c": x5c(leaf, issuer)})
    with pytest.raises(RegistryError):
        _authenticate(_config(files), _request(f"Bearer {token}"))


@pytest.mark.parametrize(
    ("algorithms", "passes"), [(("ES256",), False), (("ES256", "RS256"), True)]
)
def test_signing_algorithms(
    algorithms: tuple[str, ...], passes: bool, server: TokenServer, files: Path
) -> None:
    config = _config(files, signingalgorithms=algorithms)
    request = _request(f"Bearer {server.token()}")
    if passes:
        assert _authenticate(config, request) == "bob"
        return
    with pytest.raises(RegistryError) as refused:
        _authenticate(config, request)
    assert 'error="invalid_token"' in refused.value.headers[0][1]


def test_no_token_is_in_the_log(
    server: TokenServer, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = server.token(iss="another server")
    with pytest.raises(RegistryError), caplog.at_level("DEBUG", "reference_registry"):
        _authenticate(_config(files), _request(f"Bearer {token}"))
    assert "token refused: it comes from 'another server'" in caplog.text
    assert not [part for part in token.split(".") if part in caplog.text]


# -- challenge ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("access", "scope"),
    [
        ([], ""),
        ([_PULL, Access("repository", "app", "push")], ',scope="repository:app:pull,push"'),
        (
            [_PULL, Access("repository", "lib", "pull")],
            ',scope="repository:app:pull repository:lib:pull"',
        ),
        ([Access("registry", "catalog", "*")], ',scope="registry:catalog:*"'),
    ],
)
def test_scope(access: list[Access], scope: str, files: Path) -> None:
    with pytest.raises(RegistryError) as refused:
        _authenticate(_config(files), _request(None), access=access)
    assert refused.value.headers == (("Www-Authenticate", _CHALLENGE + scope),)


@pytest.mark.parametrize(
    ("profile", "headers", "realm"),
    [
        ("2.8", {"x_forwarded_proto": "http"}, "https://r.test:5/auth/token"),
        ("3.0", {}, "https://r.test:5/my/token"),
        ("3.1", {"x_forwarded_proto": "http"}, "http://r.test:5/my/token"),
        ("ideal", {"x_forwarded_proto": "http"}, "http://r.test:5/my/token"),
    ],
)
def test_automatic_realm(profile: str, headers: dict[str, str], realm: str, files: Path) -> None:
    path = "/auth/token" if profile == "2.8" else "/my/token"
    config = _config(files, autoredirect=True, autoredirectpath=path)
    with pytest.raises(RegistryError) as refused:
        _authenticate(config, _request(None, host="r.test:5", **headers), PROFILES[profile])
    assert refused.value.headers[0][1].startswith(f'Bearer realm="{realm}",service=')


def test_quotes_in_the_challenge(files: Path) -> None:
    with pytest.raises(RegistryError) as refused:
        _authenticate(_config(files, service='a "b"\\c'), _request(None))
    assert ',service="a \\"b\\"\\\\c",' in refused.value.headers[0][1]


# -- files --------------------------------------------------------------------------------------
_BROKEN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("bundle", "jwks", "key", "what"),
    [
        (None, "missing", "jwks", "No such file"),
        ("missing", None, "rootcertbundle", "No such file"),
        (b"", None, "rootcertbundle", "no key in the file"),
        (b"", b'{"keys": []}', "jwks", "no key in the file"),
        (None, b"[]", "jwks", 'no object with a list of "keys"'),
        (None, b"{", "jwks", ""),
        (_BROKEN_CERTIFICATE, None, "rootcertbundle", ""),
        (b"x" * (1024 * 1024 + 1), None, "rootcertbundle", "larger than 1048576 bytes"),
    ],
    ids=range(8),
)
def test_files_that_cannot_be_used(
    bundle: bytes | str | None, jwks: bytes | str | None, key: str, what: str, tmp_path: Path
) -> None:
    paths: dict[str, Path | None] = {}
    for name, content in (("rootcertbundle", bundle), ("jwks", jwks)):
        paths[name] = None if content is None else tmp_path / name
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
    with pytest.raises(CannotStart) as failure:
        _authenticate(_config(tmp_path, **paths), _request(None))
    assert failure.value.key == f"auth.token.{key}"
    assert failure.value.released_exit_code == 2
    assert what in failure.value.what


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        # Recovering the primes from this d does not end.
        ({"jwk": {"kty": "RSA", "n": "_" * 340 + "8", "e": "AQAB", "d": "Ag"}}, "private members"),
        ({"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}}, "private"),
        ({"jwk": {"kty": "RSA", "n": "A" * 1367, "e": "AQAB"}}, "missing or too long"),
        ({"jwk": {"kty": "RSA", "n": "AQ", "e": 3}}, "missing or too long"),
        ({"jwk": {"kty": "oct", "k": "AA"}}, "private members"),
        ({"jwk": {"kty": ["RSA"]}}, "unknown kind"),
        ({"kid": "listed", "crit": ["exp"], "exp": 1}, "critical extensions"),
    ],
)
def test_no_key_is_built_from_a_header(
    header: dict[str, Any], reason: str, server: TokenServer
) -> None:
    """The header is not verified yet."""
    listed = keys_in(server.jwks)
    trusted = TrustedKeys.of([], listed, PROFILES["ideal"])
    with pytest.raises(Untrusted, match=reason):
        trusted.signer(header, SystemClock().now())


def test_keys_of_other_kinds_are_skipped(server: TokenServer, tmp_path: Path) -> None:
    """A private key counts by its public half; secrets and unknown kinds do not count."""
    document = json.loads(server.jwks)
    private = ed25519.Ed25519PrivateKey.generate()
    raw = _base64(private.private_bytes_raw())
    document["keys"] += [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {"kty": "what", "kid": "unknown"},
        "text",
        jwk_of(private, kid="private", d=raw),
    ]
    (tmp_path / "jwks.json").write_text(json.dumps(document))
    config = _config(tmp_path, rootcertbundle=None)
    good = server.token(private, "EdDSA", {"kid": "private"})
    assert _authenticate(config, _request(f"Bearer {good}")) == "bob"
    with pytest.raises(RegistryError):
        _authenticate(config, _request(f"Bearer {server.token(header={'kid': 'secret'})}"))
