"""``http`` of config.yml: addresses, names to the outside, TLS, the debug listener."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from reference_registry.config.addresses import parse_address
from reference_registry.config.model import (
    NETWORKS,
    SIGNING_ALGORITHMS,
    AuthConfig,
    Config,
    DebugConfig,
    HtpasswdConfig,
    HttpConfig,
    Network,
    TlsConfig,
    TokenConfig,
)
from reference_registry.config.section import Section
from reference_registry.profiles import Profile

__all__ = ["drain_time", "read_auth", "read_http", "split_url"]

_NOT_IN_HOST = frozenset(' "<>\\^`{|}')
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def read_http(root: Section) -> HttpConfig:
    """``http``."""
    http = root.section("http")
    net = http.choice("net", NETWORKS, "tcp")
    return HttpConfig(
        addr=_api_address(http, net),
        net=net,
        host=_external_host(http),
        prefix=_prefix(http),
        relativeurls=http.flag("relativeurls"),
        secret=http.text("secret", secret=True) or None,
        draintimeout=_drain_timeout(http),
        headers=_headers(http.section("headers")),
        tls=_tls(http),
        http2=not http.section("http2").flag("disabled"),
        h2c=_h2c(http.section("h2c")),
        debug=_debug(http),
    )


def _h2c(h2c: Section) -> bool:
    if not h2c.reading.profile.has_h2c:
        h2c.unused("enabled", why="this release does not know this key")
        return False
    return h2c.flag("enabled")


def _api_address(http: Section, net: Network) -> str:
    if "addr" not in http and http.reading.strict:
        if net == "unix":
            http.refuse("addr", "missing", "set addr to the path of the socket")
        else:
            what = "missing, any free port of every interface is used"
            http.warn("addr", what, "set addr", rule="random-port")
    return _address(http) if net == "tcp" else http.text("addr")


def _address(section: Section, default: str = ":0") -> str:
    address = section.text("addr")
    try:
        parse_address(address)
    except ValueError as error:
        fix = f'write ":{address}"' if address.isdecimal() else "write HOST:PORT or :PORT"
        section.refuse("addr", f"{address!r} is not an address, {error}", fix)
        return default
    return address or default


def _external_host(http: Section) -> str | None:
    host = http.text("host")
    if not host:
        return None
    url = split_url(host)
    if url is None:
        http.refuse("host", "not a URL", "write https://NAME", released=2)
        return None
    if url.scheme not in {"http", "https"} or not url.hostname:
        # A release ignores it, and answers with the Host that the client sent.
        what = "no http:// or https:// in front"
        http.refuse("host", what, f"write https://{host}", released=None)
        return None
    return host


def _prefix(http: Section) -> str:
    prefix = http.text("prefix") or "/"
    if not prefix.startswith("/"):
        http.refuse("prefix", "no slash in front", f"write /{prefix}", released=None)
    return prefix


def _drain_timeout(http: Section) -> timedelta | None:
    timeout = http.duration("draintimeout")
    # In Go, zero is the same as absent.
    return None if not timeout and not http.reading.strict else timeout


def _headers(section: Section) -> Mapping[str, tuple[str, ...]]:
    headers: dict[str, tuple[str, ...]] = {}
    for name in section.names():
        values = section.texts(name)
        if not _HEADER_NAME.fullmatch(name) or any(set(value) & set("\r\n\0") for value in values):
            section.refuse(name, "not a header", "write NAME: [VALUE]", released=None)
            continue
        headers[name] = values
    return headers


def _tls(http: Section) -> TlsConfig | None:
    tls = http.section("tls")
    certificate, key = tls.text("certificate"), tls.text("key")
    clientcas = tls.texts("clientcas")
    minimum = _minimum_tls(tls) if certificate else "tls1.2"
    tls.unused("ciphersuites", why="the cipher suites of rustls are used")
    tls.known("minimumtls", "clientauth")
    letsencrypt = tls.section("letsencrypt")
    letsencrypt.known("email", "hosts", "directoryurl")
    if letsencrypt.text("cachefile"):
        tls.refuse("letsencrypt", "not available here", "set certificate and key")
    if not certificate:
        if key:
            # A release serves plain HTTP then and says nothing.
            tls.refuse("key", "no certificate to go with it", "set certificate", released=None)
        return None
    if not key:
        tls.refuse("certificate", "no key to go with it", "set key")
        return None
    if clientcas:
        _client_auth(tls)
    return TlsConfig(
        certificate=Path(certificate),
        key=Path(key),
        clientcas=tuple(map(Path, clientcas)),
        minimumtls=minimum,
    )


def _minimum_tls(tls: Section) -> str:
    old: tuple[str, ...] = ("tls1.0", "tls1.1") if tls.reading.profile.old_tls else ()
    known: tuple[str, ...] = (*old, "tls1.2", "tls1.3")
    minimum = tls.choice("minimumtls", known, "tls1.2")
    if minimum in old:
        tls.warn("minimumtls", f"{minimum} is not offered", "clients need TLS 1.2")
        return "tls1.2"
    return minimum


def _client_auth(tls: Section) -> None:
    if not tls.reading.profile.has_clientauth:
        return
    required = "require-and-verify-client-cert"
    modes = ("request-client-cert", "require-any-client-cert", "verify-client-cert-if-given")
    chosen = tls.choice("clientauth", (*modes, required), required)
    if chosen != required:
        tls.refuse("clientauth", f"{chosen} is not available here", f"write {required}")


def _debug(http: Section) -> DebugConfig | None:
    debug = http.section("debug")
    prometheus = debug.section("prometheus")
    enabled = prometheus.flag("enabled")
    path = prometheus.text("path") or "/metrics"
    if not path.startswith("/"):
        prometheus.refuse("path", "no slash in front", f"write /{path}", released=None)
    if not debug.text("addr"):
        if enabled:
            debug.refuse("prometheus", "no address to be asked at", "set addr", released=None)
        return None
    return DebugConfig(addr=_address(debug), prometheus_enabled=enabled, prometheus_path=path)


def drain_time(config: Config, profile: Profile) -> timedelta | None:
    """How long requests in flight may take after a signal; None if the signal ends the process at
    once."""
    if config.http.draintimeout is not None:
        return config.http.draintimeout
    default = profile.drain_timeout_default
    return None if default is None else timedelta(seconds=default)


def split_url(text: str) -> SplitResult | None:
    """The parts of *text*; None if it is not a URL."""
    try:
        url = urlsplit(text)
        _ = url.port  # raises if it is not a number
    except ValueError:
        return None
    return None if _NOT_IN_HOST & set(url.netloc) else url


def read_auth(root: Section) -> AuthConfig:
    """``auth``: a section with one type, or the name of a type alone."""
    auth = root.shorthand("auth")
    auth.known("htpasswd", "none", "silly", "token")
    match auth.names():
        case []:
            return AuthConfig()
        case ["htpasswd"]:
            return AuthConfig(htpasswd=_htpasswd(auth.section("htpasswd")))
        case ["token"]:
            return AuthConfig(token=_token(auth.section("token")))
        case ["silly"]:
            auth.refuse("silly", "not available here", "use htpasswd or token", released=2)
        case [kind]:
            if kind.lower() != "none":
                auth.refuse_unknown(kind, released=2)
        case kinds:
            root.refuse("auth", f"more than one type: {', '.join(kinds)}", "keep one of them")
    return AuthConfig()


def _htpasswd(section: Section) -> HtpasswdConfig:
    realm, path = _required(section, "realm", "path")
    return HtpasswdConfig(realm=realm, path=Path(path))


# -- token --------------------------------------------------------------------------------------
def _token(section: Section) -> TokenConfig:
    profile = section.reading.profile
    realm, service, issuer = _required(section, "realm", "service", "issuer")
    bundle, jwks = section.text("rootcertbundle", released=2), ""
    if "jwks" in profile.token_key_ids:
        jwks = section.text("jwks", released=2)
    if not bundle and not jwks:
        fix = "name the file with the token server's certificate"
        section.refuse("rootcertbundle", "missing", fix, released=2)
    config = TokenConfig(
        realm=realm,
        service=service,
        issuer=issuer,
        rootcertbundle=Path(bundle) if bundle else None,
        jwks=Path(jwks) if jwks else None,
        autoredirect=section.flag("autoredirect", released=2),
    )
    if realm and not config.autoredirect:
        _check_realm(section, realm)
    return _with_options(section, config) if profile.has_token_options else config


def _check_realm(section: Section, realm: str) -> None:
    url = split_url(realm)
    if url is None or url.scheme not in {"http", "https"} or not url.hostname:
        section.refuse("realm", "not a URL", "write https://HOST/PATH", released=None)


def _with_options(section: Section, config: TokenConfig) -> TokenConfig:
    """*config* with what 3.0.0 brought."""
    path = section.text("autoredirectpath", config.autoredirectpath, released=2)
    if not path.startswith("/"):
        section.refuse("autoredirectpath", "no slash in front", f"write /{path}", released=None)
    algorithms = section.texts("signingalgorithms", released=2) or SIGNING_ALGORITHMS
    for name in algorithms:
        if name not in SIGNING_ALGORITHMS:
            what = f"{name!r} is not one of {', '.join(SIGNING_ALGORITHMS)}"
            section.refuse("signingalgorithms", what, released=2)
    if all(name.startswith("HS") for name in algorithms):
        what = "no token can be signed so: the keys that a registry is given are public"
        section.warn("signingalgorithms", what, "add ES256 or RS256", rule="no-token-is-good")
    return replace(config, autoredirectpath=path, signingalgorithms=algorithms)


def _required(section: Section, *keys: str) -> tuple[str, ...]:
    values = tuple(section.text(key, released=2) for key in keys)
    for key, value in zip(keys, values, strict=True):
        if not value:
            section.refuse(key, "missing", f"set {key}", released=2)
    return values
