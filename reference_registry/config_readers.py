"""The sections of config.yml, one reader each.

Keys and meaning: https://distribution.github.io/distribution/about/configuration/. What a release
does with a mistake is given as ``released``, the exit code measured on the binary; None where it
takes the value as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from reference_registry.addresses import parse_address
from reference_registry.config import (
    DEFAULT_TTL,
    LOG_FORMATTERS,
    LOG_LEVELS,
    NETWORKS,
    AuthConfig,
    DebugConfig,
    HtpasswdConfig,
    HttpConfig,
    LogConfig,
    Network,
    ProxyConfig,
    RedisConfig,
    TlsConfig,
)
from reference_registry.config_reading import nearest
from reference_registry.config_section import Section

__all__ = ["read_auth", "read_http", "read_log", "read_proxy", "read_redis"]

_NOT_IN_HOST = frozenset(' "<>\\^`{|}')
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def read_log(root: Section) -> LogConfig:
    """``log``, and ``loglevel``, its older form."""
    older = root.choice("loglevel", LOG_LEVELS, "info", ignore_case=True)
    if "loglevel" in root:
        root.warn("loglevel", "an old name", "write it as level below log")
    log = root.section("log")
    log.known("reportcaller")
    log.unused("hooks", why="no mail is sent from here")
    return LogConfig(
        level=log.choice("level", LOG_LEVELS, older, ignore_case=True),
        formatter=log.choice("formatter", LOG_FORMATTERS, "text"),
        fields=log.mapped_texts("fields"),
        accesslog_disabled=log.section("accesslog").flag("disabled"),
    )


# -- http ---------------------------------------------------------------------------------------
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
        h2c=http.section("h2c").flag("enabled"),
        debug=_debug(http),
    )


def _api_address(http: Section, net: Network) -> str:
    if "addr" not in http and http.reading.strict:
        if net == "unix":
            http.refuse("addr", "missing", "set addr to the path of the socket")
        else:
            http.warn("addr", "missing, any free port of every interface is used", "set addr")
    return _address(http) if net == "tcp" else http.text("addr")


def _address(section: Section, default: str = ":0") -> str:
    address = section.text("addr")
    try:
        parse_address(address)
    except ValueError as error:
        fix = f'write ":{address}"' if address.isdecimal() else "write HOST:PORT or :PORT"
        section.refuse("addr", f"{address!r} is no address, {error}", fix)
        return default
    return address or default


def _external_host(http: Section) -> str | None:
    host = http.text("host")
    if not host:
        return None
    url = _split_url(host)
    if url is None:
        http.refuse("host", "not a URL", "write https://NAME", released=2)
        return None
    if url.scheme not in {"http", "https"} or not url.hostname:
        # A release ignores it, and answers with the Host that the client sent.
        http.refuse("host", "a URL is wanted here", f"write https://{host}", released=None)
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


# -- auth ---------------------------------------------------------------------------------------
def read_auth(root: Section) -> AuthConfig:
    """``auth``: a section with one type, or the name of a type alone."""
    auth = root.shorthand("auth")
    auth.known("htpasswd", "none", "silly", "token")
    match auth.names():
        case []:
            return AuthConfig()
        case ["htpasswd"]:
            return AuthConfig(htpasswd=_htpasswd(auth.section("htpasswd")))
        case ["silly" | "token" as kind]:
            auth.refuse(kind, "not available here", "use htpasswd", released=2)
        case [kind]:
            if kind.lower() != "none":
                auth.refuse_unknown(kind, released=2)
        case kinds:
            root.refuse("auth", f"more than one type: {', '.join(kinds)}", "keep one of them")
    return AuthConfig()


def _htpasswd(section: Section) -> HtpasswdConfig:
    realm, path = section.text("realm", released=2), section.text("path", released=2)
    for key, value in (("realm", realm), ("path", path)):
        if not value:
            section.refuse(key, "missing", f"set {key}", released=2)
    return HtpasswdConfig(realm=realm, path=Path(path))


# -- proxy --------------------------------------------------------------------------------------
def read_proxy(root: Section) -> ProxyConfig | None:
    """``proxy``; None where ``remoteurl`` is empty, which makes a standard registry."""
    profile = root.reading.profile
    proxy = root.section("proxy")
    remoteurl = proxy.text("remoteurl")
    username, password = proxy.text("username"), proxy.text("password", secret=True)
    ttl = _ttl(proxy)
    if profile.has_cache_write_timeout:
        proxy.duration("cachewritetimeout")
    if profile.has_proxy_exec:
        proxy.known("exec")
        if "exec" in proxy:
            proxy.refuse("exec", "not available here", "set username and password")
    if not remoteurl:
        if proxy.names() and not nearest("remoteurl", proxy.names()):
            what = "missing, which makes a plain registry that can be pushed to"
            fix = "set remoteurl or remove the section"
            proxy.refuse("remoteurl", what, fix, released=None)
        return None
    if not _check_remote_url(proxy, remoteurl):
        return None
    if bool(username) != bool(password):
        lacking = "password" if username else "username"
        proxy.warn(lacking, "missing, the other of the two is given", f"set {lacking}")
    return ProxyConfig(
        remoteurl=remoteurl, username=username or None, password=password or None, ttl=ttl
    )


def _check_remote_url(proxy: Section, remoteurl: str) -> bool:
    url = _split_url(remoteurl)
    if url is None or url.scheme not in {"http", "https"} or not url.hostname:
        proxy.refuse("remoteurl", "not a URL", "write it as https://HOST", released=2)
        return False
    if "@" in url.netloc:
        fix = "set username and password instead"
        proxy.refuse("remoteurl", "credentials within the URL", fix, released=None)
    if url.query or url.fragment:
        proxy.refuse("remoteurl", "more than scheme and host", "cut it off", released=None)
    return True


def _ttl(proxy: Section) -> timedelta | None:
    if not proxy.reading.profile.honours_ttl:
        proxy.unused("ttl", why="2.8 does not know this key, everything is kept for 168h")
        return DEFAULT_TTL
    ttl = proxy.duration("ttl")
    if ttl is None:
        return DEFAULT_TTL
    return ttl if ttl > timedelta(0) else None


def _split_url(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        _ = url.port  # raises where it is no number
    except ValueError:
        return None
    return None if _NOT_IN_HOST & set(url.netloc) else url


# -- redis --------------------------------------------------------------------------------------
_UNUSED_REDIS_KEYS = """
    clientname protocol sentinelusername sentinelpassword maxretries minretrybackoff
    maxretrybackoff contexttimeoutenabled poolfifo pooltimeout minidleconns maxactiveconns
    connmaxlifetime maxredirects readonly routebylatency routerandomly mastername
    disableidentity identitysuffix unstableresp3
"""


def read_redis(root: Section) -> RedisConfig | None:
    """``redis``; None where it names no server."""
    spelling = root.reading.profile.redis_addresses
    redis = root.section("redis")
    redis.unused(*_UNUSED_REDIS_KEYS.split())
    redis.known("addr", "addrs")
    _refuse_redis_tls(redis.section("tls"))
    single = redis.text("addr") if spelling != "addrs" else ""
    several = redis.texts("addrs") if spelling != "addr" else ()
    if len(several) > 1:
        redis.warn("addrs", "only the first is used")
    pool = redis.section("pool")
    config = RedisConfig(
        addr=single or (several[0] if several else ""),
        username=redis.text("username") or None,
        password=redis.text("password", secret=True) or None,
        db=redis.integer("db"),
        dialtimeout=redis.duration("dialtimeout"),
        readtimeout=redis.duration("readtimeout"),
        writetimeout=redis.duration("writetimeout"),
        # 2.8's names, and those that took their place in 3.0.0.
        pool_maxidle=max(pool.integer("maxidle"), redis.integer("maxidleconns")) or None,
        pool_maxactive=max(pool.integer("maxactive"), redis.integer("poolsize")) or None,
        pool_idletimeout=_first(pool.duration("idletimeout"), redis.duration("connmaxidletime")),
    )
    if config.addr:
        _check_redis_address(redis, "addr" if single else "addrs", config.addr)
        return config
    if redis.names():
        redis.refuse("addr", "missing", "set addr to HOST:PORT", released=None)
    return None


def _first(*durations: timedelta | None) -> timedelta | None:
    return next((duration for duration in durations if duration is not None), None)


def _check_redis_address(redis: Section, key: str, address: str) -> None:
    try:
        valid = parse_address(address).port > 0
    except ValueError:
        valid = False
    if not valid:
        redis.refuse(key, "not an address", "write HOST:PORT", released=None)


def _refuse_redis_tls(tls: Section) -> None:
    enabled = tls.flag("enabled")
    files = (tls.text("certificate"), tls.text("key"), tls.texts("rootcas"), tls.texts("clientcas"))
    if enabled or any(files):
        place, what = tls.place, "not available here"
        tls.reading.refuse(place, tls.name, what, "connect to redis without TLS")
