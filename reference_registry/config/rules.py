"""Warnings about valid configurations that do something their writer may not expect. No I/O.

The comment above each warning names its source: an issue of distribution/distribution, a
specification, or behaviour measured on its releases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from reference_registry.config import Config, ProxyConfig, UpstreamConfig
from reference_registry.config.problem import Place, Problem
from reference_registry.config.proxy import upstreams_of
from reference_registry.config.units import parse_address
from reference_registry.profiles import Profile

Finding = tuple[str, str, str, str]
"""The name of a rule, the key, what is surprising, and the fix."""


@dataclass(frozen=True)
class Reviewed:
    """A valid configuration, and the place of each key that the file or the environment gives."""

    config: Config
    profile: Profile
    source: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)

    def place_of(self, key: str) -> Place:
        """The place of *key*, or of the nearest section around it that is given."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, Place(self.source))

    def warning(self, finding: Finding) -> Problem:
        rule, key, what, fix = finding
        return Problem(self.place_of(key), key, what, fix, rule=rule)


def review(given: Reviewed) -> Iterator[Problem]:
    """All warnings about *given*."""
    yield from exposures(given)
    findings = [*_listeners(given), *_storage(given)]
    if given.config.proxy is not None:
        findings += _cache(given, given.config.proxy)
    yield from map(given.warning, findings)


def exposures(given: Reviewed) -> Iterator[Problem]:
    """What every start logs: open images, open passwords, a disk that fills."""
    return map(given.warning, _exposures(given))


def _exposures(given: Reviewed) -> Iterator[Finding]:
    config, profile, proxy = given.config, given.profile, given.config.proxy
    for key, upstream in _with_user(config):
        if not _authenticates(config):
            # distribution's recipe "Registry as a pull through cache"
            yield (
                "private-images-for-everyone",
                f"{key}.{'username' if upstream.exec is None else 'exec'}",
                "everyone who reaches this cache can pull every image that this user may pull",
                "add auth.htpasswd or auth.token, or use a user who sees public images only",
            )
            break
    if proxy is None and "proxy" in given.places:
        # As after the typo remoteURL; no release reports it.
        what = (
            "without remoteurl, in lower case, this is not a cache but a registry that accepts "
            "pushes"
        )
        fix = "set proxy.remoteurl, or remove the section"
        yield "writable-instead-of-a-cache", "proxy", what, fix
    behind_tls = config.http.tls is not None or (config.http.host or "").startswith("https://")
    if config.auth.htpasswd is not None and not behind_tls and _reachable(config):
        # RFC 7617, 4: Basic authentication is for TLS only.
        what = "clients send passwords in clear text, since the listener has no TLS"
        fix = "set http.tls, or http.host to the https:// name of the proxy in front"
        yield "passwords-in-the-clear", "auth.htpasswd", what, fix
    for key, upstream in _with_user(config):
        url = urlsplit(upstream.remoteurl)
        if url.scheme == "http" and not _is_loopback(url.hostname or ""):
            # Basic credentials, and token requests to a plain realm, can be read on the way.
            what, fix = "the password is sent to upstream in clear text", "use https"
            yield "upstream-password-in-the-clear", f"{key}.remoteurl", what, fix
            break
    if (
        proxy is not None
        and proxy.ttl is not None
        and profile.expiry_needs_delete_enabled
        and not config.storage.delete_enabled
    ):
        # #4249: the scheduler's deletion is refused like a client's, and its entry dropped.
        what = (
            "this release deletes nothing when it expires, and keeps it forever without a schedule"
        )
        fix = "set storage.delete.enabled to true"
        yield "expiry-deletes-nothing", "proxy.ttl", what, fix


def _listeners(given: Reviewed) -> Iterator[Finding]:
    config, http, debug = given.config, given.config.http, given.config.http.debug
    closed = config.proxy is not None or config.storage.readonly or _authenticates(config)
    if _reachable(config) and not closed:
        # The default of distribution.
        able = "push and delete" if config.storage.delete_enabled else "push"
        what = f"everyone who reaches this registry may {able}"
        yield "everyone-may-push", "auth", what, "add auth.htpasswd or auth.token"
    if debug is not None and not _is_loopback(parse_address(debug.addr).host):
        # It has no authentication. Releases also serve profiles of the process on it.
        what = (
            "everyone who reaches this address sees health, counters and variables, without a "
            "password"
        )
        fix = "listen on 127.0.0.1, or keep others out of the port"
        yield "debug-for-everyone", "http.debug.addr", what, fix
    if debug is not None and http.net == "tcp" and _share_a_port(http.addr, debug.addr):
        what, fix = "the port is that of http.addr", "use another port"
        yield "one-address-twice", "http.debug.addr", what, fix
    if http.relativeurls and http.host is not None:
        what, fix = "no effect beside http.host", "remove one of them"
        yield "relative-urls-overruled", "http.relativeurls", what, fix


def _storage(given: Reviewed) -> Iterator[Finding]:
    config, profile = given.config, given.profile
    storage, proxy, kind = config.storage, config.proxy, config.storage.cache.blobdescriptor
    if kind is not None and profile.trusts_descriptor_cache and storage.delete_enabled:
        # #2367
        expires = proxy is not None and proxy.ttl is not None
        remover = "expiry or garbage-collect" if expires else "garbage-collect"
        until = "forever" if kind == "redis" else "until the next start"
        what = f"a blob that {remover} has removed is answered 200 with an empty body, {until}"
        fix = "remove storage.cache"
        yield "empty-answers-after-removal", "storage.cache.blobdescriptor", what, fix
    if config.redis is not None and kind != "redis":
        # Redis serves the descriptor cache and nothing else.
        fix = "set storage.cache.blobdescriptor to redis, or remove it"
        yield "redis-unused", "redis", "nothing uses it", fix
    if storage.driver == "inmemory":
        # The driver is for tests.
        what, fix = "everything is lost at the end", "use filesystem to keep content"
        yield "storage-in-memory", "storage.inmemory", what, fix


def _cache(given: Reviewed, proxy: ProxyConfig) -> Iterator[Finding]:
    config, profile = given.config, given.profile
    drains = config.http.draintimeout is not None
    if proxy.ttl is not None and proxy.ttl < timedelta(seconds=1) and "proxy.ttl" in given.places:
        # A bare number is nanoseconds to Go.
        what, fix = "everything expires as soon as it is cached", "write it as 48h"
        yield "ttl-at-once", "proxy.ttl", what, fix
    if config.storage.delete_enabled:
        # A cache answers DELETE with 405, whatever the configuration says.
        what, fix = "lets expiry delete; a client's DELETE is still refused by a cache", ""
        if not profile.expiry_needs_delete_enabled:
            what, fix = "no effect: a cache refuses DELETE, and expiry works without", "remove it"
        yield "delete-on-a-cache", "storage.delete.enabled", what, fix
    saved = profile.saves_state == "at-once" or (profile.saves_state_on_drain and drains)
    if proxy.ttl is not None and not saved:
        # Written every 5 s, and by 3.0.0 and later at the end where draining is on.
        what = "what was cached in the last 5 s before the end never expires"
        fix = "set http.draintimeout" if profile.saves_state_on_drain else "stop it when it is idle"
        yield "schedule-lost-at-the-end", "http.draintimeout", what, fix
    if profile.drain_panics_without_ttl and proxy.ttl is None and drains:
        # 3.0.0 stops a scheduler that was never made.
        what = "with draintimeout, the end is a panic, exit code 2"
        yield "end-panics", "proxy.ttl", what, "set a ttl"
    expires = any(upstream.ttl is not None for _, _, upstream in upstreams_of(proxy))
    if proxy.policy.refresh_on_hit and not expires:
        # The key is about the ttl.
        what, fix = "no effect: nothing expires", "set ttl, or remove it"
        yield "nothing-to-put-off", "proxy.x-refresh-on-hit", what, fix
    if proxy.policy.max_size is not None and config.storage.driver == "inmemory":
        # Only files are measured.
        what, fix = "no effect on storage.inmemory", "use filesystem"
        yield "size-without-files", "proxy.x-max-size", what, fix
    if proxy.policy.negative_ttl > timedelta(minutes=10):
        # A client that asks before an image is pushed gets 404 until the time is over.
        what = (
            "content pushed upstream after a client asked for it stays missing here for that long"
        )
        fix = "write 30s, or what your builds can wait"
        yield "absences-for-long", "proxy.x-negative-ttl", what, fix
    path = urlsplit(proxy.remoteurl).path.rstrip("/")
    if path and not profile.honours_remote_path:
        # Releases ask /v2/ of the host, whatever path remoteurl has.
        what = f"this release asks the host without {path}, except at the start"
        yield ("path-of-upstream-dropped", "proxy.remoteurl", what, "name the host alone")
    if proxy.username is not None and not profile.upstream_basic_auth:
        # #3153
        what = (
            "this release gives them to token servers only: an upstream that wants Basic refuses it"
        )
        fix = "use 3.0.0 or later for such an upstream"
        yield "no-basic-auth-upstream", "proxy.username", what, fix
    if proxy.exec is None and profile.pings_upstream_at_start:
        what = "if upstream cannot be reached at the start, this release ends with exit code 2"
        fix = "let a supervisor start it again"
        yield "dies-without-upstream", "proxy.remoteurl", what, fix
    if config.storage.readonly:
        # Readonly concerns the methods of clients.
        what = "a cache takes no push anyway, and pulls still write to it"
        key = "storage.maintenance.readonly.enabled"
        yield "readonly-cache", key, what, "remove it"


# -- conditions ---------------------------------------------------------------------------------
def _with_user(config: Config) -> Iterator[tuple[str, UpstreamConfig]]:
    """The upstreams that get credentials, with the keys of their sections."""
    for _, key, upstream in () if config.proxy is None else upstreams_of(config.proxy):
        if upstream.username is not None or upstream.exec is not None:
            yield key, upstream


def _authenticates(config: Config) -> bool:
    tls = config.http.tls
    known = config.auth.htpasswd is not None or config.auth.token is not None
    return known or (tls is not None and bool(tls.clientcas))


def _reachable(config: Config) -> bool:
    """Whether other machines can connect, judging by the address."""
    http = config.http
    return http.net == "tcp" and not _is_loopback(parse_address(http.addr).host)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _share_a_port(api: str, debug: str) -> bool:
    one, other = parse_address(api), parse_address(debug)
    every = {"", "0.0.0.0", "::"}
    same_host = one.host == other.host or not every.isdisjoint({one.host, other.host})
    return bool(one.port) and one.port == other.port and same_host
