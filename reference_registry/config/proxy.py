"""``proxy`` of config.yml: what is cached, from which upstreams, and for how long.

Keys and meaning: https://distribution.github.io/distribution/about/configuration/. What a release
does with a mistake is given as ``released``, the exit code measured on the binary; None where it
accepts the value. The ``x-`` keys are this program's own (docs/configuration.md); distribution
skips keys that begin so.

Repositories of a further upstream (``x-upstreams``) are found below its name, the prefix
(``ghcr.io/team/app``), or by their own name with ``?ns=`` (OCI distribution-spec, "Registry
Proxying").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

from reference_registry.config.http import split_url
from reference_registry.config.model import (
    DEFAULT_TTL,
    VERIFY,
    CachePolicy,
    ExecConfig,
    ProxyConfig,
    UpstreamConfig,
)
from reference_registry.config.section import Section, nearest
from reference_registry.config.units import parse_size, suggested_size
from reference_registry.names import is_repository_name

__all__ = ["DOCKER_HUB", "namespaces_of", "read_proxy", "upstreams_of"]


def read_proxy(root: Section) -> ProxyConfig | None:
    """``proxy``; None where ``remoteurl`` is empty, which makes a standard registry."""
    profile = root.reading.profile
    proxy = root.section("proxy")
    remoteurl = proxy.text("remoteurl")
    username, password = proxy.text("username"), proxy.text("password", secret=True)
    ttl = _ttl(proxy)
    if profile.has_cache_write_timeout:
        proxy.unused("cachewritetimeout", why="writing to the cache has no timeout here")
    helper = _exec(proxy) if profile.has_proxy_exec else None
    verify = proxy.choice("x-verify", VERIFY, "on-change") if profile.notices_damage else "never"
    policy = _cache_policy(proxy)
    config = ProxyConfig(
        remoteurl=remoteurl,
        username=username or None,
        password=password or None,
        exec=helper,
        ttl=ttl,
        verify=verify,
        policy=policy,
    )
    if profile.has_x_keys:
        config = _with_timeout(proxy, _with_upstreams(proxy, config))
    if not remoteurl:
        if (proxy.names() or config.upstreams) and not nearest("remoteurl", proxy.names()):
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
    return config


def _with_timeout(proxy: Section, config: ProxyConfig) -> ProxyConfig:
    key = "x-upstream-timeout"
    timeout = proxy.duration(key)
    if timeout is None:
        return config
    if timeout == timedelta(0):
        proxy.refuse(key, "no time at all", "write how long upstream may be silent, such as 30s")
    return replace(config, upstream_timeout=timeout)


def _ttl(proxy: Section) -> timedelta | None:
    if not proxy.reading.profile.honours_ttl:
        proxy.unused("ttl", why="2.8 does not know this key, everything is kept for 168h")
        return DEFAULT_TTL
    ttl = proxy.duration("ttl")
    if ttl is None:
        return DEFAULT_TTL
    return ttl if ttl > timedelta(0) else None


def _cache_policy(proxy: Section) -> CachePolicy:
    """How long the cache trusts what it has, and how much it keeps."""
    if not proxy.reading.profile.has_x_keys:
        return CachePolicy()
    return CachePolicy(
        tag_freshness=proxy.duration("x-tag-freshness") or timedelta(0),
        negative_ttl=proxy.duration("x-negative-ttl") or timedelta(0),
        max_size=_size(proxy, "x-max-size"),
        refresh_on_hit=proxy.flag("x-refresh-on-hit"),
    )


def _size(section: Section, key: str) -> int | None:
    """In bytes; None if it is absent, 0 or wrong. A wrong value is recorded."""
    text = section.text(key)
    if not text:
        return None
    try:
        return parse_size(text) or None
    except ValueError as error:
        meant = suggested_size(text) or "50GB or 512MiB"
        section.refuse(key, str(error), f"write {meant}")
        return None


DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
"""The names of Docker Hub: in image references, in credentials, and of the registry itself
(distribution/reference ``normalize.go``; containerd sends ``ns=docker.io``)."""

_LOCAL_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*")
_NAMESPACE = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


# -- reading ------------------------------------------------------------------------------------
def _with_upstreams(proxy: Section, config: ProxyConfig) -> ProxyConfig:
    """*config*, made from the plain keys of *proxy*, with further upstreams, names and offline mode
    from its ``x-`` keys. Mistakes are recorded."""
    config = replace(
        config,
        upstreams=_read_upstreams(proxy, config.ttl),
        namespaces=_read_namespaces(proxy, "x-namespaces"),
        library=_has_official_images(proxy, "x-library", config.remoteurl),
        offline=proxy.flag("x-offline"),
        local_hosts=_read_local_hosts(proxy, "x-local-hosts"),
    )
    for (first, second), hosts in _claims(config)[1].items():
        one = f"x-upstreams.{first}" if first else "remoteurl"
        fix = "say which by namespaces (x-namespaces for remoteurl) in one of them"
        further = proxy.section("x-upstreams")
        further.refuse(second, f"ns={min(hosts)} would mean {one} as well", fix)
    return config


def _read_upstreams(proxy: Section, ttl: timedelta | None) -> dict[str, UpstreamConfig]:
    """By prefix, without those that cannot be used. *ttl* is for those that set none."""
    further = proxy.section("x-upstreams")
    found = {}
    for prefix in (*further.names(), *further.extensions()):
        upstream = _read_upstream(further.section(prefix), ttl)
        if not _is_component(prefix):
            what = "not a path component of repository names"
            fix = (
                "use lower-case letters and digits with single . _ - between, and list other hosts "
                "under namespaces"
            )
            further.refuse(prefix, what, fix)
        elif upstream is not None:
            found[prefix] = upstream
    return found


def _read_upstream(entry: Section, default_ttl: timedelta | None) -> UpstreamConfig | None:
    remoteurl = entry.text("remoteurl")
    username, password = entry.text("username"), entry.text("password", secret=True)
    helper = _exec(entry)
    namespaces = _read_namespaces(entry, "namespaces")
    library = _has_official_images(entry, "library", remoteurl)
    local_hosts = _read_local_hosts(entry, "local-hosts")
    if not remoteurl:
        entry.refuse("remoteurl", "missing", "write it as https://HOST")
        return None
    if not _check_remote_url(entry, remoteurl):
        return None
    if helper is None and bool(username) != bool(password):
        lacking = "password" if username else "username"
        entry.refuse(lacking, "missing, the other of the two is given", f"set {lacking}")
    elif helper is not None and (username or password):
        entry.refuse("exec", "given beside username and password", "keep one of them")
    return UpstreamConfig(
        remoteurl=remoteurl,
        username=username or None,
        password=password or None,
        exec=helper,
        ttl=_lifetime(entry, default_ttl),
        namespaces=namespaces,
        library=library,
        local_hosts=local_hosts,
    )


def _lifetime(entry: Section, default: timedelta | None) -> timedelta | None:
    ttl = entry.duration("ttl")
    if ttl is None:
        return default
    return ttl if ttl > timedelta(0) else None


def _exec(upstream: Section) -> ExecConfig | None:
    """``exec`` of the section of an upstream."""
    section = upstream.section("exec")
    command, lifetime = section.text("command"), section.duration("lifetime")
    if "exec" not in upstream:
        return None
    if not command:
        section.refuse("command", "missing", "set it to docker-credential-NAME", released=None)
    return ExecConfig(command=command, lifetime=lifetime)


def _check_remote_url(upstream: Section, remoteurl: str) -> bool:
    """Whether *remoteurl* can be asked at all; what else is wrong with it is noted."""
    url = split_url(remoteurl)
    if url is None or url.scheme not in _DEFAULT_PORTS or not url.hostname:
        upstream.refuse("remoteurl", "not a URL", "write it as https://HOST", released=2)
        return False
    if "@" in url.netloc:
        fix = "set username and password instead"
        upstream.refuse("remoteurl", "credentials within the URL", fix, released=None)
    if url.query or url.fragment:
        upstream.refuse("remoteurl", "more than scheme and host", "remove the rest", released=None)
    return True


def _read_namespaces(upstream: Section, key: str) -> tuple[str, ...] | None:
    found = tuple(text.lower() for text in upstream.texts(key))
    for text in found:
        if not _NAMESPACE.fullmatch(text):
            fix = "write HOST or HOST:PORT, without scheme and path"
            upstream.refuse(key, f"{text!r} is not a host", fix)
    return found if key in upstream else None


def _read_local_hosts(upstream: Section, key: str) -> tuple[str, ...]:
    found = tuple(text.lower().rstrip(".") for text in upstream.texts(key))
    for text in found:
        if not _LOCAL_HOST.fullmatch(text):
            fix = "write the name or address alone, without scheme, port and path"
            upstream.refuse(key, f"{text!r} is not a host", fix)
    return found


def _has_official_images(upstream: Section, key: str, remoteurl: str) -> bool:
    """Whether a name of one component means ``library/NAME``: as *key* says, and at Docker Hub. A
    client that pulls from Hub itself writes it so; through a cache it cannot know."""
    return upstream.flag(key, _host_of(remoteurl) in DOCKER_HUB)


def _is_component(prefix: str) -> bool:
    return "/" not in prefix and is_repository_name(prefix)


def upstreams_of(config: ProxyConfig) -> Iterator[tuple[str, str, UpstreamConfig]]:
    """Every upstream with its prefix, which is empty for ``remoteurl``, and the key of its
    section."""
    yield "", "proxy", config
    for prefix, upstream in config.upstreams.items():
        yield prefix, f"proxy.x-upstreams.{prefix}", upstream


# -- what ns= means -----------------------------------------------------------------------------
def namespaces_of(config: ProxyConfig) -> Mapping[str, str]:
    """From each host that ``ns=`` may name to the prefix of its upstream, empty for ``remoteurl``.

    Empty as a whole where neither ``x-upstreams`` nor ``x-namespaces`` is given: ``ns`` is not
    looked at then, as in releases, since a cache of one upstream is often called by other names.
    """
    return _claims(config)[0]


def _claims(config: ProxyConfig) -> tuple[dict[str, str], dict[tuple[str, str], set[str]]]:
    """Who has which host, and which hosts two want, by the two.

    What an upstream lists goes before what its prefix says, and that before the host it is fetched
    from. An upstream with a list, even an empty one, has only the hosts in it.
    """
    taken: dict[str, str] = {}
    conflicts: dict[tuple[str, str], set[str]] = {}
    if not config.upstreams and config.namespaces is None:
        return taken, conflicts
    for level in (_listed, _by_prefix, _by_host):
        claims: dict[str, str] = {}
        for prefix, _, upstream in upstreams_of(config):
            for host in _with_aliases(level(prefix, upstream)):
                if host not in taken and claims.setdefault(host, prefix) != prefix:
                    conflicts.setdefault((claims[host], prefix), set()).add(host)
        taken |= claims
    return taken, conflicts


def _listed(prefix: str, upstream: UpstreamConfig) -> Iterator[str]:
    yield from (host.lower() for host in upstream.namespaces or ())


def _by_prefix(prefix: str, upstream: UpstreamConfig) -> Iterator[str]:
    if upstream.namespaces is None and prefix:
        yield prefix


def _by_host(prefix: str, upstream: UpstreamConfig) -> Iterator[str]:
    if upstream.namespaces is None:
        yield _host_of(upstream.remoteurl)


def _with_aliases(hosts: Iterator[str]) -> set[str]:
    found = set(hosts)
    return found | DOCKER_HUB if found & DOCKER_HUB else found


def _host_of(remoteurl: str) -> str:
    """As written in image references: ``HOST``, with the port where it is not the scheme's."""
    url = split_url(remoteurl)
    if url is None or url.hostname is None:
        return ""
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return host if url.port in {None, _DEFAULT_PORTS.get(url.scheme)} else f"{host}:{url.port}"
