"""Sections of config.yml, one reader each: ``log``, ``proxy``, ``redis``.

Keys and meaning: https://distribution.github.io/distribution/about/configuration/. What a release
does with a mistake is given as ``released``, the exit code measured on the binary; None where it
takes the value as it is.
"""

from __future__ import annotations

from datetime import timedelta

from reference_registry.addresses import parse_address
from reference_registry.config.http import split_url
from reference_registry.config.model import (
    DEFAULT_TTL,
    LOG_FORMATTERS,
    LOG_LEVELS,
    ExecConfig,
    LogConfig,
    ProxyConfig,
    RedisConfig,
)
from reference_registry.config.reading import nearest
from reference_registry.config.section import Section

__all__ = ["read_log", "read_proxy", "read_redis"]


def read_log(root: Section) -> LogConfig:
    """``log``, and ``loglevel``, its older form."""
    older = root.choice("loglevel", LOG_LEVELS, "info", ignore_case=True)
    if "loglevel" in root:
        root.warn("loglevel", "an old name", "write it as level below log", rule="old-name")
    log = root.section("log")
    log.known("reportcaller")
    log.unused("hooks", why="no mail is sent from here")
    return LogConfig(
        level=log.choice("level", LOG_LEVELS, older, ignore_case=True),
        formatter=log.choice("formatter", LOG_FORMATTERS, "text"),
        fields=log.mapped_texts("fields"),
        accesslog_disabled=log.section("accesslog").flag("disabled"),
    )


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
    helper = _exec(proxy) if profile.has_proxy_exec else None
    if not remoteurl:
        if proxy.names() and not nearest("remoteurl", proxy.names()):
            what = "missing, which makes a plain registry that can be pushed to"
            fix = "set remoteurl or remove the section"
            proxy.refuse("remoteurl", what, fix, released=None)
        return None
    if not _check_remote_url(proxy, remoteurl):
        return None
    if helper is not None and (username or password):
        given = "username" if username else "password"
        proxy.warn(given, "no effect beside exec", "remove it")
    elif bool(username) != bool(password):
        lacking = "password" if username else "username"
        what = "missing, the other of the two is given"
        proxy.warn(lacking, what, f"set {lacking}", rule="half-a-credential")
    return ProxyConfig(
        remoteurl=remoteurl,
        username=username or None,
        password=password or None,
        exec=helper,
        ttl=ttl,
    )


def _exec(proxy: Section) -> ExecConfig | None:
    section = proxy.section("exec")
    command, lifetime = section.text("command"), section.duration("lifetime")
    if "exec" not in proxy:
        return None
    if not command:
        section.refuse("command", "missing", "set it to docker-credential-NAME", released=None)
    return ExecConfig(command=command, lifetime=lifetime)


def _check_remote_url(proxy: Section, remoteurl: str) -> bool:
    url = split_url(remoteurl)
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
