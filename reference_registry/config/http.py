"""``http`` of config.yml: addresses, names to the outside, TLS, the debug listener."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from reference_registry.config import (
    NETWORKS,
    SIGNING_ALGORITHMS,
    ClientAuthConfig,
    Config,
    DebugConfig,
    HtpasswdConfig,
    HttpConfig,
    TlsConfig,
    TokenConfig,
)
from reference_registry.config.section import Section
from reference_registry.config.units import parse_address
from reference_registry.profiles import Profile

_NOT_IN_HOST = frozenset(' "<>\\^`{|}')
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def read_http(root: Section) -> HttpConfig:
    """``http``."""
    http = root.section("http")
    strict, profile = http.reading.strict, http.reading.profile
    net = http.choice("net", NETWORKS, "tcp")
    if "addr" not in http and strict:
        if net == "unix":
            http.refuse("addr", "missing", "set addr to the path of the socket")
        else:
            what = "missing, any free port of every interface is used"
            http.warn("addr", what, "set addr", rule="random-port")
    drain_timeout = http.duration("draintimeout")
    h2c = http.section("h2c")
    if not profile.has_keys_of_3_0:
        h2c.unused("enabled", why="this release does not know this key")
    return HttpConfig(
        addr=_address(http) if net == "tcp" else http.text("addr"),
        net=net,
        host=_external_host(http),
        prefix=http.url_path("prefix", "/"),
        relativeurls=http.flag("relativeurls"),
        secret=http.text("secret", secret=True) or None,
        # In Go, zero is the same as absent.
        draintimeout=drain_timeout if strict else drain_timeout or None,
        headers=_headers(http.section("headers")),
        tls=_tls(http.section("tls")),
        http2=not http.section("http2").flag("disabled"),
        h2c=profile.has_keys_of_3_0 and h2c.flag("enabled"),
        debug=_debug(http.section("debug")),
        trusted_proxies=_trusted_proxies(http),
    )


def _trusted_proxies(http: Section) -> tuple[str, ...]:
    networks = http.texts("x-trusted-proxies")
    for text in networks:
        try:
            ip_network(text)
        except ValueError as error:
            http.refuse("x-trusted-proxies", str(error), "write addresses or networks")
            return ()
    return networks


def _address(section: Section) -> str:
    address = section.text("addr")
    try:
        parse_address(address)
    except ValueError as error:
        fix = f'write ":{address}"' if address.isdecimal() else "write HOST:PORT or :PORT"
        section.refuse("addr", f"{address!r} is not an address, {error}", fix)
        return ":0"
    return address or ":0"


def _external_host(http: Section) -> str | None:
    host = http.text("host")
    if not host:
        return None
    url = split_url(host)
    if url is None:
        http.refuse("host", "not a URL", "write https://NAME", released=2)
        return None
    if url.scheme not in {"http", "https"} or not url.hostname:
        # A release ignores it and uses the client's Host header.
        what = "no http:// or https:// in front"
        http.refuse("host", what, f"write https://{host}", released=None)
        return None
    return host


def _headers(section: Section) -> Mapping[str, tuple[str, ...]]:
    headers = {name: section.texts(name) for name in section.names()}
    for name, values in tuple(headers.items()):
        if not _HEADER_NAME.fullmatch(name) or any(set(value) & set("\r\n\0") for value in values):
            section.refuse(name, "not a header", "write NAME: [VALUE]", released=None)
            del headers[name]
    return headers


def _tls(tls: Section) -> TlsConfig | None:
    certificate, key, clientcas = tls.path("certificate"), tls.path("key"), tls.texts("clientcas")
    tls.unused("ciphersuites", why="the cipher suites of rustls are used")
    tls.known("minimumtls", "clientauth")
    letsencrypt = tls.section("letsencrypt")
    letsencrypt.known("email", "hosts", "directoryurl")
    if letsencrypt.text("cachefile"):
        tls.refuse("letsencrypt", "not available here", "set certificate and key")
    if certificate is None:
        if key is not None:
            # A release serves plain HTTP then, without a warning.
            tls.refuse("key", "no certificate to go with it", "set certificate", released=None)
        return None
    minimum = _minimum_tls(tls)
    if key is None:
        tls.refuse("certificate", "no key to go with it", "set key")
        return None
    if clientcas and tls.reading.profile.has_keys_of_3_0:
        required = "require-and-verify-client-cert"
        modes = ("request-client-cert", "require-any-client-cert", "verify-client-cert-if-given")
        chosen = tls.choice("clientauth", (*modes, required), required)
        if chosen != required:
            tls.refuse("clientauth", f"{chosen} is not available here", f"write {required}")
    return TlsConfig(
        certificate=certificate,
        key=key,
        clientcas=tuple(map(Path, clientcas)),
        minimumtls=minimum,
    )


def _minimum_tls(tls: Section) -> str:
    old: tuple[str, ...] = ("tls1.0", "tls1.1") if tls.reading.profile.old_tls else ()
    minimum = tls.choice("minimumtls", (*old, "tls1.2", "tls1.3"), "tls1.2")
    if minimum in old:
        tls.warn("minimumtls", f"{minimum} is not offered", "clients need TLS 1.2")
        return "tls1.2"
    return minimum


def _debug(debug: Section) -> DebugConfig | None:
    prometheus = debug.section("prometheus")
    enabled, path = prometheus.flag("enabled"), prometheus.url_path("path", "/metrics")
    if debug.text("addr"):
        return DebugConfig(addr=_address(debug), prometheus_enabled=enabled, prometheus_path=path)
    if enabled:
        debug.refuse("prometheus", "no address to be asked at", "set addr", released=None)
    return None


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


def read_auth(root: Section) -> ClientAuthConfig:
    """``auth``: a section with one type, or the name of a type alone."""
    auth = root.shorthand("auth")
    auth.known("htpasswd", "none", "silly", "token")
    match auth.names():
        case []:
            return ClientAuthConfig()
        case ["htpasswd"]:
            section = auth.section("htpasswd", released=2)
            realm, path = _required(section, "realm", "path")
            return ClientAuthConfig(htpasswd=HtpasswdConfig(realm=realm, path=Path(path)))
        case ["token"]:
            return ClientAuthConfig(token=_token(auth.section("token", released=2)))
        case ["silly"]:
            auth.refuse("silly", "not available here", "use htpasswd or token", released=2)
        case [kind]:
            if kind.lower() != "none":
                auth.refuse_unknown(kind, released=2)
        case kinds:
            root.refuse("auth", f"more than one type: {', '.join(kinds)}", "keep one of them")
    return ClientAuthConfig()


def _token(section: Section) -> TokenConfig:
    profile = section.reading.profile
    realm, service, issuer = _required(section, "realm", "service", "issuer")
    bundle = section.path("rootcertbundle")
    jwks = section.path("jwks") if "jwks" in profile.token_key_ids else None
    if bundle is None and jwks is None:
        fix = "name the file with the token server's certificate"
        section.refuse("rootcertbundle", "missing", fix)
    config = TokenConfig(
        realm=realm,
        service=service,
        issuer=issuer,
        rootcertbundle=bundle,
        jwks=jwks,
        autoredirect=section.flag("autoredirect"),
    )
    url = split_url(realm)
    is_url = url is not None and url.scheme in {"http", "https"} and bool(url.hostname)
    if realm and not is_url and not config.autoredirect:
        section.refuse("realm", "not a URL", "write https://HOST/PATH", released=None)
    if not profile.has_token_options:
        return config
    path = section.url_path("autoredirectpath", config.autoredirectpath)
    algorithms = section.texts("signingalgorithms") or SIGNING_ALGORITHMS
    for name in algorithms:
        if name not in SIGNING_ALGORITHMS:
            what = f"{name!r} is not one of {', '.join(SIGNING_ALGORITHMS)}"
            section.refuse("signingalgorithms", what)
    if all(name.startswith("HS") for name in algorithms):
        what = "no token can be signed so: the keys that a registry is given are public"
        section.warn("signingalgorithms", what, "add ES256 or RS256", rule="no-token-is-good")
    return replace(config, autoredirectpath=path, signingalgorithms=algorithms)


def _required(section: Section, *keys: str) -> tuple[str, ...]:
    values = tuple(section.text(key) for key in keys)
    for key, value in zip(keys, values, strict=True):
        if not value:
            section.refuse(key, "missing", f"set {key}")
    return values
