"""Sections of config.yml, one reader each: ``log``, ``proxy``.

Keys and meaning: https://distribution.github.io/distribution/about/configuration/. What a release
does with a mistake is given as ``released``, the exit code measured on the binary; None where it
takes the value as it is.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from reference_registry.config.cache_policy import read_cache_policy
from reference_registry.config.model import (
    DEFAULT_TTL,
    LOG_FORMATTERS,
    LOG_LEVELS,
    VERIFY,
    LogConfig,
    ProxyConfig,
)
from reference_registry.config.reading import nearest
from reference_registry.config.section import Section
from reference_registry.config.upstreams import check_remote_url, read_exec, with_upstreams

__all__ = ["read_log", "read_proxy"]


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
    helper = read_exec(proxy) if profile.has_proxy_exec else None
    verify = proxy.choice("x-verify", VERIFY, "on-change") if profile.notices_damage else "never"
    policy = read_cache_policy(proxy)
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
        config = _with_timeout(proxy, with_upstreams(proxy, config))
    if not remoteurl:
        if (proxy.names() or config.upstreams) and not nearest("remoteurl", proxy.names()):
            what = "missing, which makes a plain registry that can be pushed to"
            fix = "set remoteurl or remove the section"
            proxy.refuse("remoteurl", what, fix, released=None)
        return None
    if not check_remote_url(proxy, remoteurl):
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
