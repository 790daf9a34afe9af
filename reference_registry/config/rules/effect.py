"""What has no effect, or another one than it seems."""

from __future__ import annotations

from urllib.parse import urlsplit

from reference_registry.config.addresses import parse_address
from reference_registry.config.rules.reviewed import Remark, Reviewed

__all__ = [
    "dies_without_upstream",
    "no_basic_auth_upstream",
    "one_address_twice",
    "path_of_upstream_dropped",
    "readonly_cache",
    "redis_unused",
    "relative_urls_overruled",
    "storage_in_memory",
]


def path_of_upstream_dropped(given: Reviewed) -> Remark | None:
    """Releases ask ``/v2/`` of the host, whatever path ``remoteurl`` has."""
    proxy = given.config.proxy
    if proxy is None or given.profile.honours_remote_path:
        return None
    path = urlsplit(proxy.remoteurl).path.rstrip("/")
    if not path:
        return None
    return Remark(
        "proxy.remoteurl",
        f"this release asks the host without {path}, except at the start",
        "name the host alone",
    )


def no_basic_auth_upstream(given: Reviewed) -> Remark | None:
    """#3153"""
    proxy = given.config.proxy
    if proxy is None or proxy.username is None or given.profile.upstream_basic_auth:
        return None
    return Remark(
        "proxy.username",
        "this release gives them to token servers only: an upstream that wants Basic refuses it",
        "use 3.0.0 or later for such an upstream",
    )


def dies_without_upstream(given: Reviewed) -> Remark | None:
    """Releases ask upstream at the start and end where no answer comes."""
    proxy = given.config.proxy
    if proxy is None or proxy.exec is not None or not given.profile.pings_upstream_at_start:
        return None
    return Remark(
        "proxy.remoteurl",
        "if upstream cannot be reached at the start, this release ends with exit code 2",
        "let a supervisor start it again",
    )


def redis_unused(given: Reviewed) -> Remark | None:
    """Redis serves the descriptor cache and nothing else."""
    if given.config.redis is None or given.config.storage.cache.blobdescriptor == "redis":
        return None
    return Remark(
        "redis", "nothing uses it", "set storage.cache.blobdescriptor to redis, or remove it"
    )


def readonly_cache(given: Reviewed) -> Remark | None:
    """Readonly concerns the methods of clients."""
    if given.config.proxy is None or not given.config.storage.readonly:
        return None
    return Remark(
        "storage.maintenance.readonly.enabled",
        "a cache takes no push anyway, and pulls still write to it",
        "remove it",
    )


def storage_in_memory(given: Reviewed) -> Remark | None:
    """``inmemory`` is for tests."""
    if given.config.storage.driver != "inmemory":
        return None
    return Remark(
        "storage.inmemory", "everything is lost at the end", "use filesystem for what shall last"
    )


def relative_urls_overruled(given: Reviewed) -> Remark | None:
    """``http.host`` wins over ``relativeurls``."""
    http = given.config.http
    if not http.relativeurls or http.host is None:
        return None
    return Remark("http.relativeurls", "no effect beside http.host", "remove one of them")


def one_address_twice(given: Reviewed) -> Remark | None:
    """Two listeners cannot share a port."""
    http = given.config.http
    if http.debug is None or http.net != "tcp":
        return None
    api, debug = parse_address(http.addr), parse_address(http.debug.addr)
    hosts = {_wildcard(api.host), _wildcard(debug.host)}
    if api.port != debug.port or not api.port or (len(hosts) > 1 and "" not in hosts):
        return None
    return Remark("http.debug.addr", "the port is that of http.addr", "use another port")


def _wildcard(host: str) -> str:
    """Empty for every interface."""
    return "" if host in {"0.0.0.0", "::"} else host
