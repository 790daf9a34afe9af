"""A configuration in plain words: its effect, with defaults and the profile's behaviour.

No I/O: it is not checked whether a file exists or a port is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from reference_registry.config import (
    CachePolicy,
    Config,
    HttpConfig,
    ProxyConfig,
    UpstreamConfig,
)
from reference_registry.config.http import drain_time
from reference_registry.config.proxy import namespaces_of, upstreams_of
from reference_registry.config.units import parse_address, short_duration, short_size
from reference_registry.profiles import Profile

Line = tuple[str, str]
"""A subject such as ``expiry``, and a sentence about it."""


def explain(config: Config, profile: Profile) -> Iterator[Line]:
    """What a registry with *config* is and does, one aspect a line."""
    proxy, storage, http = config.proxy, config.storage, config.http
    release = "" if profile.implementation == "pullproof" else f"{profile.implementation} "
    yield "behaves like", f"{release}{profile.name}"
    if proxy is None:
        yield "registry", "stores what is pushed to it, and fetches nothing from elsewhere"
    else:
        yield "registry", f"a cache of {_without_user(proxy.remoteurl)}; takes no push"
        pings = profile.pings_upstream_at_start and proxy.exec is None
        start = "must answer at the start" if pings else "need not be there at the start"
        yield "upstream", f"{_user(proxy)}; {start}"
        yield from _names(proxy)
        if proxy.offline:
            yield "upstream", "offline: not asked; what is cached is served and does not expire"
    if storage.driver == "inmemory":
        yield "storage", "in memory; all is lost at the end"
    else:
        yield "storage", f"files below {storage.rootdirectory}"
    if storage.cache.blobdescriptor is not None:
        yield "storage", f"sizes of blobs are remembered in {_descriptors(config)}"
    yield "expiry", _expiry(config, profile)
    if proxy is not None:
        yield from _policy(proxy.policy)
    yield "uploads", _uploads(config)
    if (collecting := storage.garbage_collection) is not None:
        every, grace = short_duration(collecting.interval), short_duration(collecting.grace)
        what = "blobs without a manifest"
        what += " and untagged manifests" if collecting.deleteuntagged else ""
        yield "garbage", f"every {every} {what} go, if not used for {grace}"
    yield from _clients(config)
    encryption = "without TLS"
    if http.tls is not None:
        oldest = http.tls.minimumtls.removeprefix("tls")
        encryption = f"TLS {oldest} or newer, HTTP/{2 if http.http2 else 1.1}"
    yield "listens", f"{_api_url(http)}, {encryption}"
    if http.debug is not None:
        paths = ["/debug/health", "/debug/vars"]
        paths += [http.debug.prometheus_path] if http.debug.prometheus_enabled else []
        url = _url("http", http.debug.addr)
        yield "listens", f"{url} for {', '.join(paths)}, open to everyone"
    for check in config.health.checks:
        subject = f"{check.kind} {check.target}".rstrip()
        often = short_duration(check.interval)
        yield "health", f"{subject}, every {often}; while it fails, all requests are 503"
    yield "end", _end(config, profile)
    access = "no access log" if config.log.accesslog_disabled else "access log on stdout"
    yield "log", f"{config.log.level}, {config.log.formatter}, on stderr; {access}"


# -- aspects ------------------------------------------------------------------------------------
def _kept(ttl: timedelta | None) -> str:
    return "forever" if ttl is None else short_duration(ttl)


def _user(upstream: UpstreamConfig) -> str:
    helper = upstream.exec
    if helper is None:
        return f"asked as {upstream.username}" if upstream.username else "asked without credentials"
    return f"asked as the user that {helper.command} names, remembered {_kept(helper.lifetime)}"


def _names(proxy: ProxyConfig) -> Iterator[Line]:
    """Which upstream serves what, where there is a choice."""
    hosts = namespaces_of(proxy)
    for prefix, _, upstream in upstreams_of(proxy):
        if not hosts and not upstream.library:
            continue
        called = [f"{prefix}/NAME" if prefix else "NAME"]
        called += [f"NAME?ns={host}" for host in sorted(hosts) if hosts[host] == prefix]
        served = f"{_without_user(upstream.remoteurl)} serves {', '.join(called)}"
        if upstream.library:
            served += "; a NAME of one part means library/NAME"
        if prefix:
            served += f"; {_user(upstream)}"
            if upstream.ttl != proxy.ttl:
                served += f"; kept {_kept(upstream.ttl)}"
        yield "upstream", served


def _descriptors(config: Config) -> str:
    cache = config.storage.cache
    if cache.blobdescriptor == "redis" and config.redis is not None:
        return f"redis at {config.redis.addr}"
    bound = f"{cache.blobdescriptorsize} at most" if cache.blobdescriptorsize else "without bound"
    return f"memory, {bound}"


def _expiry(config: Config, profile: Profile) -> str:
    if config.proxy is None:
        return "never; what is pushed stays until it is deleted"
    if config.proxy.ttl is None:
        return "never; what was cached stays"
    refreshes = config.proxy.policy.refresh_on_hit
    since = "last used" if refreshes else "cached, however often it is pulled"
    after = f"{short_duration(config.proxy.ttl)} after it was {since}"
    if profile.expiry_needs_delete_enabled and not config.storage.delete_enabled:
        return f"{after}, content is forgotten, and its bytes stay"
    if config.storage.driver == "inmemory":
        return f"{after}, content is deleted"
    state = config.storage.rootdirectory / "scheduler-state.json"
    return f"{after}, content is deleted; kept track of in {state}"


def _policy(policy: CachePolicy) -> Iterator[Line]:
    if policy.max_size is not None:
        yield "size", f"{short_size(policy.max_size)} at most; what was not used for longest goes"
    if policy.tag_freshness:
        interval = short_duration(policy.tag_freshness)
        yield "tags", f"upstream is asked again after {interval}, or where a client says no-cache"
    if policy.negative_ttl:
        yield "absences", f"remembered for {short_duration(policy.negative_ttl)}"


def _uploads(config: Config) -> str:
    purging = config.storage.uploadpurging
    if not purging.enabled or config.storage.readonly:
        return "abandoned ones stay"
    age, interval = short_duration(purging.age), short_duration(purging.interval)
    what = "only named in the log" if purging.dryrun else "removed"
    return f"those abandoned for {age} are {what}, looked for every {interval}"


def _clients(config: Config) -> Iterator[Line]:
    auth, tls = config.auth, config.http.tls
    who = "everyone"
    if auth.htpasswd is not None:
        who = f"users of {auth.htpasswd.path} (realm {auth.htpasswd.realm})"
    elif auth.token is not None:
        who = f"holders of a token from {auth.token.issuer} that allows it"
    if tls is not None and tls.clientcas:
        who += f" with a certificate of {', '.join(map(str, tls.clientcas))}"
    yield "may pull", who
    if config.proxy is not None or config.storage.readonly:
        yield "may push", "no one"
        yield "may delete", "no one"
        return
    yield "may push", who
    yield "may delete", who if config.storage.delete_enabled else "no one"


def _api_url(http: HttpConfig) -> str:
    scheme = "http" if http.tls is None else "https"
    if http.net == "unix":
        return f"{scheme} on the socket {http.addr}"
    shown = f" (known to clients as {http.host})" if http.host else ""
    return f"{_url(scheme, http.addr)}{http.prefix.rstrip('/')}/v2/{shown}"


def _url(scheme: str, address: str) -> str:
    parsed = parse_address(address)
    port = str(parsed.port) if parsed.port else "any free port"
    return f"{scheme}://{str(parsed).rpartition(':')[0] if parsed.host else '*'}:{port}"


def _end(config: Config, profile: Profile) -> str:
    drain = drain_time(config, profile)
    if drain is None:
        return "SIGTERM and SIGINT kill it at once"
    signals = "SIGTERM and SIGINT" if profile.drains_on_sigint else "SIGTERM (not SIGINT)"
    return f"{signals} let requests in flight finish, for {short_duration(drain)} at most"


def _without_user(remoteurl: str) -> str:
    url = urlsplit(remoteurl)
    return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
