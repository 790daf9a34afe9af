"""Warnings about configurations that do something their writer may not expect.

:data:`RULES` is a table. A row has the rule's name, the key that it warns of, why, the fix, and a
condition on configuration and profile. Its comment gives the source: an issue of
distribution/distribution, a specification, or behaviour measured on its releases. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from reference_registry.config.addresses import parse_address
from reference_registry.config.model import Config, ProxyConfig, UpstreamConfig
from reference_registry.config.problem import Place, Problem
from reference_registry.config.proxy import upstreams_of
from reference_registry.profiles import Profile

__all__ = ["EXPOSURES", "RULES", "Reviewed", "Rule", "review"]


@dataclass(frozen=True)
class Reviewed:
    """A usable configuration, and the place of each key that the file or the environment gives."""

    config: Config
    profile: Profile
    source: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)

    @property
    def proxy(self) -> ProxyConfig | None:
        return self.config.proxy

    @property
    def ttl(self) -> timedelta | None:
        """When cached content expires; None for never, and without a cache."""
        return None if self.proxy is None else self.proxy.ttl

    @property
    def drains(self) -> bool:
        return self.config.http.draintimeout is not None

    def place_of(self, key: str) -> Place:
        """The place of *key*, or of the nearest section around it that is given."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, Place(self.source))


Found = Mapping[str, str] | bool | None
"""Whether a rule applies; a mapping fills the ``{NAMES}`` in the rule's texts."""


@dataclass(frozen=True)
class Rule:
    """``key``, ``why`` and ``fix`` are templates for what ``applies`` returns."""

    name: str
    key: str
    why: str
    fix: str
    applies: Callable[[Reviewed], Found]

    def check(self, given: Reviewed) -> Problem | None:
        """A warning if the rule applies to *given*."""
        found = self.applies(given)
        if not found:
            return None
        values = {} if found is True else found
        key, why, fix = (text.format(**values) for text in (self.key, self.why, self.fix))
        return Problem(given.place_of(key), key, why, fix, rule=self.name)


# -- access -------------------------------------------------------------------------------------
def _private_images(given: Reviewed) -> Found:
    for key, upstream in () if _authenticates(given.config) else _with_user(given.config):
        return {"key": key, "name": "username" if upstream.exec is None else "exec"}
    return None


def _plain_upstream(given: Reviewed) -> Found:
    for key, upstream in _with_user(given.config):
        url = urlsplit(upstream.remoteurl)
        if url.scheme == "http" and not _is_loopback(url.hostname or ""):
            return {"key": key}
    return None


def _plain_passwords(given: Reviewed) -> bool:
    http = given.config.http
    behind_tls = http.tls is not None or (http.host or "").startswith("https://")
    return given.config.auth.htpasswd is not None and not behind_tls and _reachable(given.config)


def _open_to_pushes(given: Reviewed) -> Found:
    config = given.config
    closed = config.proxy is not None or config.storage.readonly or _authenticates(config)
    if closed or not _reachable(config):
        return None
    return {"able": "push and delete" if config.storage.delete_enabled else "push"}


def _open_debug(given: Reviewed) -> bool:
    debug = given.config.http.debug
    return debug is not None and not _is_loopback(parse_address(debug.addr).host)


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


# -- expiry -------------------------------------------------------------------------------------
def _stale_descriptors(given: Reviewed) -> Found:
    storage, kind = given.config.storage, given.config.storage.cache.blobdescriptor
    if kind is None or not given.profile.trusts_descriptor_cache or not storage.delete_enabled:
        return None
    return {
        "remover": "garbage-collect" if given.ttl is None else "expiry or garbage-collect",
        "until": "forever" if kind == "redis" else "until the next start",
    }


def _delete_on_a_cache(given: Reviewed) -> Found:
    if given.proxy is None or not given.config.storage.delete_enabled:
        return None
    if given.profile.expiry_needs_delete_enabled:
        why, fix = "lets expiry delete; a client's DELETE is still refused by a cache", ""
    else:
        why = "no effect: a cache refuses DELETE, and expiry needs no leave"
        fix = "remove it"
    return {"why": why, "fix": fix}


def _schedule_lost(given: Reviewed) -> Found:
    on_drain = given.profile.saves_state_on_drain
    if given.ttl is None or given.profile.saves_state == "at-once" or (on_drain and given.drains):
        return None
    return {"fix": "set http.draintimeout" if on_drain else "stop it when it is idle"}


def _nothing_expires(given: Reviewed) -> bool:
    proxy = given.proxy
    if proxy is None or proxy.ttl is not None or not proxy.policy.refresh_on_hit:
        return False
    return all(upstream.ttl is None for upstream in proxy.upstreams.values())


# -- effect -------------------------------------------------------------------------------------
def _dropped_path(given: Reviewed) -> Found:
    if given.proxy is None or given.profile.honours_remote_path:
        return None
    path = urlsplit(given.proxy.remoteurl).path.rstrip("/")
    return {"path": path} if path else None


def _same_port(given: Reviewed) -> bool:
    http = given.config.http
    if http.debug is None or http.net != "tcp":
        return False
    api, debug = parse_address(http.addr), parse_address(http.debug.addr)
    every = {"": "", "0.0.0.0": "", "::": ""}
    hosts = {every.get(address.host, address.host) for address in (api, debug)}
    return bool(api.port) and api.port == debug.port and (len(hosts) == 1 or "" in hosts)


# -- the table ----------------------------------------------------------------------------------
EXPOSURES = (
    Rule(  # distribution's recipe "Registry as a pull through cache"
        "private-images-for-everyone",
        "{key}.{name}",
        "everyone who reaches this cache can pull every image that this user may pull",
        "add auth.htpasswd or auth.token, or use a user who sees public images only",
        _private_images,
    ),
    Rule(  # As after the typo remoteURL; no release reports it.
        "writable-instead-of-a-cache",
        "proxy",
        "without remoteurl, in lower case, this is not a cache but a registry that accepts pushes",
        "set proxy.remoteurl, or remove the section",
        lambda given: given.proxy is None and "proxy" in given.places,
    ),
    Rule(  # RFC 7617, 4: Basic authentication is for TLS only.
        "passwords-in-the-clear",
        "auth.htpasswd",
        "clients send their passwords readably, since the listener has no TLS",
        "set http.tls, or http.host to the https:// name of the proxy in front",
        _plain_passwords,
    ),
    Rule(  # Basic credentials, and token requests to a plain realm, can be read on the way.
        "upstream-password-in-the-clear",
        "{key}.remoteurl",
        "the password is sent to upstream readably",
        "use https",
        _plain_upstream,
    ),
    Rule(  # #4249: the scheduler's deletion is refused like a client's, and its entry dropped.
        "expiry-deletes-nothing",
        "proxy.ttl",
        "this release deletes nothing when it expires, and keeps it forever without a schedule",
        "set storage.delete.enabled to true",
        lambda given: (
            given.ttl is not None
            and given.profile.expiry_needs_delete_enabled
            and not given.config.storage.delete_enabled
        ),
    ),
)
"""What every start logs: open images, open passwords, a disk that fills."""

RULES = (
    *EXPOSURES,
    Rule(  # The default of distribution.
        "everyone-may-push",
        "auth",
        "everyone who reaches this registry may {able}",
        "add auth.htpasswd or auth.token",
        _open_to_pushes,
    ),
    Rule(  # It has no authentication. Releases also serve profiles of the process on it.
        "debug-for-everyone",
        "http.debug.addr",
        "everyone who reaches this address sees health, counters and variables, without a password",
        "listen on 127.0.0.1, or keep others out of the port",
        _open_debug,
    ),
    Rule(  # A bare number is nanoseconds to Go.
        "ttl-at-once",
        "proxy.ttl",
        "everything expires as soon as it is cached",
        "write it as 48h",
        lambda given: (
            given.ttl is not None
            and given.ttl < timedelta(seconds=1)
            and "proxy.ttl" in given.places
        ),
    ),
    Rule(  # #2367
        "empty-answers-after-removal",
        "storage.cache.blobdescriptor",
        "a blob that {remover} has removed is answered 200 with an empty body, {until}",
        "remove storage.cache",
        _stale_descriptors,
    ),
    Rule(  # A cache answers DELETE with 405, whatever the configuration says.
        "delete-on-a-cache", "storage.delete.enabled", "{why}", "{fix}", _delete_on_a_cache
    ),
    Rule(  # Written every 5 s, and by 3.0.0 and later at the end where draining is on.
        "schedule-lost-at-the-end",
        "http.draintimeout",
        "what was cached in the last 5 s before the end never expires",
        "{fix}",
        _schedule_lost,
    ),
    Rule(  # 3.0.0 stops a scheduler that was never made.
        "end-panics",
        "proxy.ttl",
        "with draintimeout, the end is a panic, exit code 2",
        "set a ttl",
        lambda given: (
            given.profile.drain_panics_without_ttl
            and given.proxy is not None
            and given.proxy.ttl is None
            and given.drains
        ),
    ),
    Rule(  # The key is about the ttl.
        "nothing-to-put-off",
        "proxy.x-refresh-on-hit",
        "no effect: nothing expires",
        "set ttl, or remove it",
        _nothing_expires,
    ),
    Rule(  # Only files are measured.
        "size-without-files",
        "proxy.x-max-size",
        "no effect on storage.inmemory",
        "use filesystem",
        lambda given: (
            given.proxy is not None
            and given.proxy.policy.max_size is not None
            and given.config.storage.driver == "inmemory"
        ),
    ),
    Rule(  # A client that asks before an image is pushed gets 404 until the time is over.
        "absences-for-long",
        "proxy.x-negative-ttl",
        "content pushed upstream after a client asked for it stays missing here for that long",
        "write 30s, or what your builds can wait",
        lambda given: (
            given.proxy is not None and given.proxy.policy.negative_ttl > timedelta(minutes=10)
        ),
    ),
    Rule(  # Releases ask /v2/ of the host, whatever path remoteurl has.
        "path-of-upstream-dropped",
        "proxy.remoteurl",
        "this release asks the host without {path}, except at the start",
        "name the host alone",
        _dropped_path,
    ),
    Rule(  # #3153
        "no-basic-auth-upstream",
        "proxy.username",
        "this release gives them to token servers only: an upstream that wants Basic refuses it",
        "use 3.0.0 or later for such an upstream",
        lambda given: (
            given.proxy is not None
            and given.proxy.username is not None
            and not given.profile.upstream_basic_auth
        ),
    ),
    Rule(  # Releases ask upstream at the start.
        "dies-without-upstream",
        "proxy.remoteurl",
        "if upstream cannot be reached at the start, this release ends with exit code 2",
        "let a supervisor start it again",
        lambda given: (
            given.proxy is not None
            and given.proxy.exec is None
            and given.profile.pings_upstream_at_start
        ),
    ),
    Rule(  # Redis serves the descriptor cache and nothing else.
        "redis-unused",
        "redis",
        "nothing uses it",
        "set storage.cache.blobdescriptor to redis, or remove it",
        lambda given: (
            given.config.redis is not None and given.config.storage.cache.blobdescriptor != "redis"
        ),
    ),
    Rule(  # Readonly concerns the methods of clients.
        "readonly-cache",
        "storage.maintenance.readonly.enabled",
        "a cache takes no push anyway, and pulls still write to it",
        "remove it",
        lambda given: given.proxy is not None and given.config.storage.readonly,
    ),
    Rule(  # The driver is for tests.
        "storage-in-memory",
        "storage.inmemory",
        "everything is lost at the end",
        "use filesystem for what shall last",
        lambda given: given.config.storage.driver == "inmemory",
    ),
    Rule(  # http.host wins.
        "relative-urls-overruled",
        "http.relativeurls",
        "no effect beside http.host",
        "remove one of them",
        lambda given: given.config.http.relativeurls and given.config.http.host is not None,
    ),
    Rule(  # Two listeners cannot share a port.
        "one-address-twice",
        "http.debug.addr",
        "the port is that of http.addr",
        "use another port",
        _same_port,
    ),
)


def review(given: Reviewed, rules: Iterable[Rule] = RULES) -> Iterator[Problem]:
    """The warnings of *rules* about *given*."""
    return (problem for rule in rules if (problem := rule.check(given)))
