"""``redis`` of config.yml: the server that the descriptor cache may lie in.

2.8 and 3.0.0-alpha.1 spell it one way, 3.0.0 and later another; ``ideal`` reads both.
"""

from __future__ import annotations

from pathlib import Path

from reference_registry.config.addresses import parse_address
from reference_registry.config.model import RedisConfig, RedisTlsConfig
from reference_registry.config.section import Section

__all__ = ["read_redis"]

_UNUSED_KEYS = """
    clientname protocol sentinelusername sentinelpassword maxretries minretrybackoff
    maxretrybackoff contexttimeoutenabled poolfifo pooltimeout minidleconns maxactiveconns
    connmaxlifetime maxredirects readonly routebylatency routerandomly mastername
    disableidentity identitysuffix unstableresp3
"""


def read_redis(root: Section) -> RedisConfig | None:
    """``redis``; None where it names no server."""
    profile, redis = root.reading.profile, root.section("redis")
    older, newer = profile.redis_addresses != "addrs", profile.redis_addresses != "addr"
    address = _address(redis, older=older, newer=newer)
    config = RedisConfig(
        addr=address,
        username=(redis.text("username") or None) if profile.redis_has_users else None,
        password=redis.text("password", secret=True) or None,
        db=redis.integer("db"),
        tls=_tls(redis) if profile.redis_tls != "none" else None,
        dialtimeout=redis.duration("dialtimeout"),
        readtimeout=redis.duration("readtimeout"),
        writetimeout=redis.duration("writetimeout"),
        pool_maxactive=_most_connections(redis, older=older, newer=newer),
    )
    if address:
        return config
    if redis.names():
        key, value = ("addr", "HOST:PORT") if older else ("addrs", '["HOST:PORT"]')
        redis.refuse(key, "missing", f"set {key} to {value}", released=None)
    return None


def _address(redis: Section, *, older: bool, newer: bool) -> str:
    single = redis.text("addr") if older else ""
    several = redis.texts("addrs") if newer else ()
    if len(several) > 1:
        redis.warn("addrs", "only the first is used")
    address = single or (several[0] if several else "")
    if address:
        _check_address(redis, "addr" if single else "addrs", address)
    return address


def _check_address(redis: Section, key: str, address: str) -> None:
    try:
        valid = parse_address(address).port > 0
    except ValueError:
        valid = False
    if not valid:
        redis.refuse(key, "not an address", "write HOST:PORT", released=None)


def _most_connections(redis: Section, *, older: bool, newer: bool) -> int | None:
    """The pool's size. It is as large as it is needed, so that nothing else of it matters here."""
    most = 0
    if older:
        pool = redis.section("pool")
        most = pool.integer("maxactive")
        pool.integer("maxidle")
        pool.duration("idletimeout")
        pool.unused("maxidle", "idletimeout", why="connections are kept while they work")
    if newer:
        redis.unused(*_UNUSED_KEYS.split())
        most = most or redis.integer("poolsize")
        redis.integer("maxidleconns")
        redis.duration("connmaxidletime")
        redis.unused("maxidleconns", "connmaxidletime", why="connections are kept while they work")
    return most if most > 0 else None


def _tls(redis: Section) -> RedisTlsConfig | None:
    tls = redis.section("tls")
    strict, by_any = tls.reading.strict, tls.reading.profile.redis_tls == "by-any"
    certificate, key = tls.text("certificate"), tls.text("key")
    roots = tls.texts("rootcas") if by_any else ()
    enabled = strict and tls.flag("enabled")  # 3.0.0-alpha.1 has it, and does nothing about it
    tls.texts("clientcas")
    tls.unused("clientcas", why="it is the server that asks for such certificates; see rootcas")
    if bool(certificate) != bool(key):
        lacking = "key" if certificate else "certificate"
        what, fix = "missing, the other of the two is given", f"set {lacking}"
        tls.refuse(lacking, what, fix, released=None if by_any else 2)
    elif not (certificate or roots or enabled):
        return None
    given = bool(certificate and key)
    return RedisTlsConfig(
        certificate=Path(certificate) if given else None,
        key=Path(key) if given else None,
        rootcas=tuple(map(Path, roots)),
    )
