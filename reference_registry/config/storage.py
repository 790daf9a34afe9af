"""``storage``, ``health`` and ``redis`` of config.yml.

Below ``storage`` a quoted ``'true'`` means false, since distribution looks at YAML's type.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from reference_registry.config import (
    CacheConfig,
    CheckKind,
    GarbageCollectionConfig,
    HealthConfig,
    PeriodicCheck,
    RedisConfig,
    RedisTlsConfig,
    StorageConfig,
    UploadPurgingConfig,
)
from reference_registry.config.section import Section
from reference_registry.config.units import parse_address, parse_duration, suggested_duration

_DRIVERS = ("filesystem", "inmemory")
_ABSENT_DRIVERS = ("azure", "gcs", "oss", "s3", "s3aws", "swift")
_SHORTEST_GRACE = timedelta(minutes=5)
_DEFAULT_INTERVAL = timedelta(seconds=10)
_TARGETS: tuple[tuple[CheckKind, str], ...] = (("file", "file"), ("http", "uri"), ("tcp", "addr"))


def read_storage(root: Section) -> StorageConfig:
    """``storage``: a section with one driver, or the name of a driver alone."""
    storage = root.shorthand("storage")
    driver = _driver(root, storage)
    maintenance = storage.section("maintenance", released=2)
    storage.section("redirect", released=2).flag("disable")
    filesystem = storage.section("filesystem")
    filesystem.unused("maxthreads", why="there is no limit on threads here")
    collecting = None
    if root.reading.profile.has_x_keys and "x-garbage-collection" in maintenance:
        collecting = _garbage_collection(maintenance, driver)
    return StorageConfig(
        driver=driver,
        rootdirectory=filesystem.path("rootdirectory") or StorageConfig().rootdirectory,
        delete_enabled=storage.section("delete", released=None).flag("enabled"),
        cache=_cache(storage.section("cache", released=None)),
        uploadpurging=_uploadpurging(maintenance.section("uploadpurging")),
        garbage_collection=collecting,
        readonly=maintenance.section("readonly").flag("enabled"),
    )


def _driver(root: Section, storage: Section) -> Literal["filesystem", "inmemory"]:
    options = ["cache", "delete", "maintenance", "redirect"]
    if root.reading.profile.has_keys_of_3_0:
        options.append("tag")
        tag = storage.section("tag", released=2)
        if tag.integer("concurrencylimit") < 0:
            tag.refuse("concurrencylimit", "negative", "write a positive number")
    storage.known(*_DRIVERS, *_ABSENT_DRIVERS, *options)
    named = [key for key in storage.names() if key not in options]
    if root.reading.strict:
        known = [key for key in named if key in _DRIVERS or key in _ABSENT_DRIVERS]
        for key in named:
            if key not in known:
                storage.refuse_unknown(key, released=None)
        if named and not known:
            return "filesystem"  # the unknown one was reported
        named = known
    match named:
        case ["inmemory"]:
            return "inmemory"
        case ["filesystem"]:
            pass
        case []:
            root.refuse("storage", "no storage driver", "set storage.filesystem.rootdirectory")
        case [driver] if driver in _ABSENT_DRIVERS:
            storage.refuse(driver, "not available here", "use filesystem", released=2)
        case [driver]:
            storage.refuse_unknown(driver, released=2)
        case _:
            what = f"more than one driver: {', '.join(named)}"
            by_variable = any(storage.place_of(driver).line is None for driver in named)
            released = 2 if by_variable else 1  # a release panics where the file alone was right
            root.refuse("storage", what, "keep one of them", released=released)
    return "filesystem"


def _cache(cache: Section) -> CacheConfig:
    kinds = ("inmemory", "redis")
    older = cache.choice("layerinfo", kinds, "")
    kind = cache.choice("blobdescriptor", kinds, older)
    if not kind and not cache.reading.strict and (word := cache.text("blobdescriptor")):
        cache.warn("blobdescriptor", f"{word!r} is not a cache, so there is none", rule="no-cache")
    bounded = cache.reading.profile.has_keys_of_3_alpha
    size = CacheConfig().blobdescriptorsize if bounded else 0
    if bounded and kind == "inmemory":
        cache.released = 2
        size = cache.integer("blobdescriptorsize", size)
    else:
        cache.unused("blobdescriptorsize", why="only inmemory has a size, and only since 3.0")
    return CacheConfig(blobdescriptor=kind or None, blobdescriptorsize=size)


def _uploadpurging(section: Section) -> UploadPurgingConfig:
    default = UploadPurgingConfig()
    keys = ("age", "interval", "dryrun")
    section.known(*keys)
    section.released = None
    if not section.flag("enabled", True):
        return UploadPurgingConfig(enabled=False)
    section.released = 2
    if section.names() and not section.reading.strict:
        # A release wants all of them, once the section is there.
        for key in keys:
            if key not in section:
                section.refuse(key, "missing", f"set {key}")
    return UploadPurgingConfig(
        age=_text_duration(section, "age", default.age),
        interval=_text_duration(section, "interval", default.interval),
        dryrun=section.flag("dryrun"),
    )


def _garbage_collection(maintenance: Section, driver: str) -> GarbageCollectionConfig | None:
    section = maintenance.section("x-garbage-collection")
    if driver == "inmemory":
        what = "not possible for inmemory, which keeps no time of use"
        maintenance.refuse("x-garbage-collection", what, "remove the section, or use filesystem")
    interval, grace = section.duration("interval"), section.duration("grace")
    untagged = section.flag("deleteuntagged")
    if not interval:
        section.refuse("interval", "missing or 0", "write how often, such as 24h")
        return None
    config = GarbageCollectionConfig(interval=interval, deleteuntagged=untagged)
    if grace is None:
        return config
    if grace < _SHORTEST_GRACE:
        what = "too short for a push: its blobs come before its manifest"
        section.refuse("grace", what, "write 5m or more; 1h is the default")
    return replace(config, grace=grace)


def _text_duration(section: Section, key: str, default: timedelta) -> timedelta:
    """A duration that a release only takes as text: here no bare number is nanoseconds."""
    text = section.text(key)
    try:
        return parse_duration(text) if text else default
    except ValueError as error:
        section.refuse(key, str(error), f"write {suggested_duration(text) or '168h'}")
        return default


# -- health -------------------------------------------------------------------------------------
def read_health(root: Section) -> HealthConfig:
    """``health``."""
    health = root.section("health")
    driver = health.section("storagedriver")
    checks = [_check("storagedriver", "", driver)] if driver.flag("enabled") else []
    if not checks:
        driver.unused("interval", "threshold", why="the check is off unless enabled is true")
    for kind, target_key in _TARGETS:
        for section in health.sections(kind):
            target = section.text(target_key)
            if not target:
                section.refuse(target_key, "missing", f"set {target_key}", released=None)
            if any(check.target == target for check in checks):
                section.refuse(target_key, "checked twice", "keep one of the checks", released=2)
            checks.append(_check(kind, target, section))
    return HealthConfig(checks=tuple(checks))


def _check(kind: CheckKind, target: str, section: Section) -> PeriodicCheck:
    check = PeriodicCheck(
        kind=kind,
        target=target,
        interval=section.duration("interval") or _DEFAULT_INTERVAL,
        threshold=section.integer("threshold"),
        timeout=section.duration("timeout") if kind in {"http", "tcp"} else None,
    )
    if kind != "http":
        return check
    headers = section.section("headers")
    return replace(
        check,
        statuscode=section.integer("statuscode") or 200,
        headers={name: headers.texts(name) for name in headers.names()},
    )


# -- redis --------------------------------------------------------------------------------------
_UNUSED_KEYS = """
    clientname protocol sentinelusername sentinelpassword maxretries minretrybackoff
    maxretrybackoff contexttimeoutenabled poolfifo pooltimeout minidleconns maxactiveconns
    connmaxlifetime maxredirects readonly routebylatency routerandomly mastername
    disableidentity identitysuffix unstableresp3 writetimeout
"""
_KEPT = "connections are kept while they work"


def read_redis(root: Section) -> RedisConfig | None:
    """``redis``; None where it names no server."""
    profile, redis = root.reading.profile, root.section("redis")
    older, newer = profile.redis_addresses != "addrs", profile.redis_addresses != "addr"
    address = _address(redis, older=older, newer=newer)
    config = RedisConfig(
        addr=address,
        username=(redis.text("username") or None) if profile.has_keys_of_3_alpha else None,
        password=redis.text("password", secret=True) or None,
        db=redis.integer("db"),
        tls=_tls(redis.section("tls")) if profile.redis_tls != "none" else None,
        dialtimeout=redis.duration("dialtimeout"),
        readtimeout=redis.duration("readtimeout"),
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
    try:
        valid = not address or parse_address(address).port > 0
    except ValueError:
        valid = False
    if not valid:
        key = "addr" if single else "addrs"
        redis.refuse(key, "not an address", "write HOST:PORT", released=None)
    return address


def _most_connections(redis: Section, *, older: bool, newer: bool) -> int | None:
    """The limit of the pool, which grows on demand; other settings of the pool have no effect."""
    most = 0
    if older:
        pool = redis.section("pool")
        most = pool.integer("maxactive")
        pool.unused("maxidle", "idletimeout", why=_KEPT)
    if newer:
        redis.unused(*_UNUSED_KEYS.split())
        most = most or redis.integer("poolsize")
        redis.unused("maxidleconns", "connmaxidletime", why=_KEPT)
    return most if most > 0 else None


def _tls(tls: Section) -> RedisTlsConfig | None:
    by_any = tls.reading.profile.redis_tls == "by-any"
    certificate, key = tls.path("certificate"), tls.path("key")
    roots = tls.texts("rootcas") if by_any else ()
    # 3.0.0-alpha.1 has this key and ignores it.
    enabled = tls.reading.strict and tls.flag("enabled")
    tls.unused("clientcas", why="it is the server that asks for such certificates; see rootcas")
    if (certificate is None) != (key is None):
        lacking = "key" if certificate else "certificate"
        what, fix = "missing, the other of the two is given", f"set {lacking}"
        tls.refuse(lacking, what, fix, released=None if by_any else 2)
        certificate = key = None
    elif not (certificate or roots or enabled):
        return None
    return RedisTlsConfig(certificate=certificate, key=key, rootcas=tuple(map(Path, roots)))
