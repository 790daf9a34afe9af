"""``proxy`` of config.yml: what is cached, from which upstreams, and for how long.

Keys and meaning: https://distribution.github.io/distribution/about/configuration/. The ``x-`` keys
are this program's own (docs/configuration.md); distribution skips keys that begin so.

Repositories of a further upstream (``x-upstreams``) are found below its name, the prefix
(``ghcr.io/team/app``), or by their own name with ``?ns=`` (OCI distribution-spec, "Registry
Proxying").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from reference_registry.config import (
    DEFAULT_TTL,
    VERIFY,
    CachePolicy,
    ExecConfig,
    ProxyConfig,
    UpstreamConfig,
)
from reference_registry.config.http import split_url
from reference_registry.config.section import Section, nearest
from reference_registry.config.units import parse_size, suggested_size
from reference_registry.names import is_repository_name

DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
"""The names of Docker Hub: in image references, in credentials, and of the registry itself
(distribution/reference ``normalize.go``; containerd sends ``ns=docker.io``)."""

_LOCAL_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*")
_NAMESPACE = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


# -- reading ------------------------------------------------------------------------------------
def read_proxy(root: Section) -> ProxyConfig | None:
    """``proxy``; None where ``remoteurl`` is empty, which makes a standard registry."""
    profile = root.reading.profile
    proxy = root.section("proxy")
    if profile.has_keys_of_3_1:
        proxy.unused("cachewritetimeout", why="writing to the cache has no timeout here")
    verify = proxy.choice("x-verify", VERIFY, "on-change") if profile.notices_damage else "never"
    config = ProxyConfig(**_common(proxy, DEFAULT_TTL), verify=verify)
    if profile.has_x_keys:
        config = _with_extensions(proxy, config)
    if not config.remoteurl:
        if (proxy.names() or config.upstreams) and not nearest("remoteurl", proxy.names()):
            what = "missing, which makes a plain registry that can be pushed to"
            fix = "set remoteurl or remove the section"
            proxy.refuse("remoteurl", what, fix, released=None)
        return None
    if not _check_remote_url(proxy, config.remoteurl):
        return None
    lacking = _lacking(config)
    if config.exec is not None and (config.username or config.password):
        given = "username" if config.username else "password"
        proxy.warn(given, "no effect beside exec", "remove it")
    elif lacking:
        proxy.warn(lacking, _HALF, f"set {lacking}", rule="half-a-credential")
    return config


def _common(upstream: Section, ttl: timedelta | None) -> dict[str, Any]:
    """What ``proxy`` and an entry of ``x-upstreams`` have in common: URL, credentials and ttl, by
    default *ttl*."""
    profile = upstream.reading.profile
    lifetime = upstream.duration("ttl") if profile.honours_ttl else None
    if not profile.honours_ttl:
        upstream.unused("ttl", why="2.8 does not know this key, everything is kept for 168h")
    if lifetime is not None:
        ttl = lifetime if lifetime > timedelta(0) else None
    return {
        "remoteurl": upstream.text("remoteurl"),
        "username": upstream.text("username") or None,
        "password": upstream.text("password", secret=True) or None,
        "exec": _exec(upstream) if profile.has_keys_of_3_0 else None,
        "ttl": ttl,
    }


def _exec(upstream: Section) -> ExecConfig | None:
    section = upstream.section("exec")
    command, lifetime = section.text("command"), section.duration("lifetime")
    if "exec" not in upstream:
        return None
    if not command:
        section.refuse("command", "missing", "set it to docker-credential-NAME", released=None)
    return ExecConfig(command=command, lifetime=lifetime)


_HALF = "missing, the other of the two is given"


def _lacking(upstream: UpstreamConfig) -> str | None:
    """The part of the credentials that is missing beside the other."""
    if bool(upstream.username) == bool(upstream.password):
        return None
    return "password" if upstream.username else "username"


def _with_extensions(proxy: Section, config: ProxyConfig) -> ProxyConfig:
    """*config*, made from the plain keys of *proxy*, with its ``x-`` keys."""
    timeout = proxy.duration("x-upstream-timeout")
    if timeout == timedelta(0):
        fix = "write how long upstream may be silent, such as 30s"
        proxy.refuse("x-upstream-timeout", "no time at all", fix)
    config = replace(
        config,
        policy=CachePolicy(
            tag_freshness=proxy.duration("x-tag-freshness") or timedelta(0),
            negative_ttl=proxy.duration("x-negative-ttl") or timedelta(0),
            max_size=_size(proxy, "x-max-size"),
            refresh_on_hit=proxy.flag("x-refresh-on-hit"),
        ),
        upstream_timeout=config.upstream_timeout if timeout is None else timeout,
        upstreams=_read_upstreams(proxy.section("x-upstreams"), config.ttl),
        offline=proxy.flag("x-offline"),
        **_names(proxy, "x-", config.remoteurl),
    )
    for (first, second), hosts in _claims(config)[1].items():
        one = f"x-upstreams.{first}" if first else "remoteurl"
        fix = "say which by namespaces (x-namespaces for remoteurl) in one of them"
        what = f"ns={min(hosts)} would mean {one} as well"
        proxy.section("x-upstreams").refuse(second, what, fix)
    return config


def _size(section: Section, key: str) -> int | None:
    """In bytes; None if it is absent, 0 or wrong. A wrong value is recorded."""
    text = section.text(key)
    try:
        return (parse_size(text) or None) if text else None
    except ValueError as error:
        section.refuse(key, str(error), f"write {suggested_size(text) or '50GB or 512MiB'}")
        return None


def _read_upstreams(further: Section, ttl: timedelta | None) -> dict[str, UpstreamConfig]:
    """By prefix, without those that cannot be used. *ttl* is for those that set none."""
    found = {}
    for prefix in further.entries:
        upstream = _read_upstream(further.section(prefix), ttl)
        if "/" in prefix or not is_repository_name(prefix):
            what = "not a path component of repository names"
            fix = (
                "use lower-case letters and digits with single . _ - between, and list other hosts "
                "under namespaces"
            )
            further.refuse(prefix, what, fix)
        elif upstream is not None:
            found[prefix] = upstream
    return found


def _read_upstream(entry: Section, ttl: timedelta | None) -> UpstreamConfig | None:
    common = _common(entry, ttl)
    config = UpstreamConfig(**common, **_names(entry, "", common["remoteurl"]))
    if not config.remoteurl:
        entry.refuse("remoteurl", "missing", "write it as https://HOST")
        return None
    if not _check_remote_url(entry, config.remoteurl):
        return None
    lacking = _lacking(config)
    if config.exec is not None and (config.username or config.password):
        entry.refuse("exec", "given beside username and password", "keep one of them")
    elif config.exec is None and lacking:
        entry.refuse(lacking, _HALF, f"set {lacking}")
    return config


def _check_remote_url(upstream: Section, remoteurl: str) -> bool:
    """Whether *remoteurl* is a URL; other mistakes in it are recorded."""
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


def _names(upstream: Section, prefix: str, remoteurl: str) -> dict[str, Any]:
    """``namespaces``, ``library`` and ``local-hosts`` of *upstream*; *prefix* is ``x-`` or empty.

    With ``library``, by default at Docker Hub, a name of one component means ``library/NAME``: a
    client adds ``library/`` when it pulls from Hub, but not when it pulls through a cache.
    """
    fix = "write HOST or HOST:PORT, without scheme and path"
    namespaces = _hosts(upstream, f"{prefix}namespaces", _NAMESPACE, fix)
    fix = "write the name or address alone, without scheme, port and path"
    local_hosts = _hosts(upstream, f"{prefix}local-hosts", _LOCAL_HOST, fix)
    return {
        "namespaces": namespaces if f"{prefix}namespaces" in upstream else None,
        "library": upstream.flag(f"{prefix}library", _host_of(remoteurl) in DOCKER_HUB),
        "local_hosts": tuple(host.rstrip(".") for host in local_hosts),
    }


def _hosts(upstream: Section, key: str, form: re.Pattern[str], fix: str) -> tuple[str, ...]:
    found = tuple(text.lower() for text in upstream.texts(key))
    for text in found:
        if not form.fullmatch(text):
            upstream.refuse(key, f"{text!r} is not a host", fix)
    return found


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
    """The prefix by host, and the hosts that two upstreams claim, by the two.

    A host in a list takes precedence over one that is a prefix, and that over the host of a URL. An
    upstream with a list, even an empty one, has only the hosts in it.
    """
    taken: dict[str, tuple[int, str]] = {}
    conflicts: dict[tuple[str, str], set[str]] = {}
    if not config.upstreams and config.namespaces is None:
        return {}, conflicts
    claims = [
        (level, host, prefix)
        for prefix, _, upstream in upstreams_of(config)
        for level, hosts in enumerate(_names_by_precedence(prefix, upstream))
        for host in hosts
    ]
    for level, host, prefix in sorted(claims, key=lambda claim: claim[0]):
        first_level, first = taken.setdefault(host, (level, prefix))
        if first_level == level and first != prefix:
            conflicts.setdefault((first, prefix), set()).add(host)
    return {host: prefix for host, (_, prefix) in taken.items()}, conflicts


def _names_by_precedence(prefix: str, upstream: UpstreamConfig) -> list[set[str]]:
    """The hosts that ``ns=`` may call *upstream* by: as listed, by its prefix, by its URL."""
    if upstream.namespaces is not None:
        levels = [{host.lower() for host in upstream.namespaces}, set(), set()]
    else:
        levels = [set(), {prefix} - {""}, {_host_of(upstream.remoteurl)}]
    return [names | DOCKER_HUB if names & DOCKER_HUB else names for names in levels]


def _host_of(remoteurl: str) -> str:
    """As written in image references: ``HOST``, with the port where it is not the scheme's."""
    url = split_url(remoteurl)
    if url is None or url.hostname is None:
        return ""
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return host if url.port in {None, _DEFAULT_PORTS.get(url.scheme)} else f"{host}:{url.port}"
