"""Who may do what, and who can read it on the way."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from reference_registry.config.addresses import parse_address
from reference_registry.config.model import Config, UpstreamConfig
from reference_registry.config.proxy import upstreams_of
from reference_registry.config.rules.reviewed import Remark, Reviewed, is_loopback

__all__ = [
    "debug_for_everyone",
    "everyone_may_push",
    "passwords_in_the_clear",
    "private_images_for_everyone",
    "upstream_password_in_the_clear",
    "writable_instead_of_a_cache",
]


def private_images_for_everyone(given: Reviewed) -> Remark | None:
    """A cache serves what its upstream user may pull, to everyone who asks (distribution's recipe
    "Registry as a pull through cache").
    """
    if _asks_who(given.config):
        return None
    for key, upstream in _with_user(given.config):
        name = "username" if upstream.exec is None else "exec"
        return Remark(
            f"{key}.{name}",
            "everyone who reaches this cache can pull every image that this user may pull",
            "add auth.htpasswd or auth.token, or use a user who sees public images only",
        )
    return None


def writable_instead_of_a_cache(given: Reviewed) -> Remark | None:
    """A proxy section without ``remoteurl``, as after the typo ``remoteURL``, makes a standard
    registry; no release reports it."""
    if given.config.proxy is not None or not given.gives("proxy"):
        return None
    return Remark(
        "proxy",
        "without remoteurl, in lower case, this is not a cache but a registry that accepts pushes",
        "set proxy.remoteurl, or remove the section",
    )


def everyone_may_push(given: Reviewed) -> Remark | None:
    """The default of distribution."""
    config = given.config
    if config.proxy is not None or config.storage.readonly or _asks_who(config):
        return None
    if not _reachable(config):
        return None
    able = "push and delete" if config.storage.delete_enabled else "push"
    return Remark(
        "auth", f"everyone who reaches this registry may {able}", "add auth.htpasswd or auth.token"
    )


def passwords_in_the_clear(given: Reviewed) -> Remark | None:
    """RFC 7617, 4: Basic authentication is to be used over TLS only."""
    http = given.config.http
    behind_tls = http.tls is not None or (http.host or "").startswith("https://")
    if given.config.auth.htpasswd is None or behind_tls or not _reachable(given.config):
        return None
    return Remark(
        "auth.htpasswd",
        "clients send their passwords readably, since the listener has no TLS",
        "set http.tls, or http.host to the https:// name of the proxy in front",
    )


def upstream_password_in_the_clear(given: Reviewed) -> Remark | None:
    """Basic credentials, and token requests to a plain realm, can be read on the way."""
    for key, upstream in _with_user(given.config):
        url = urlsplit(upstream.remoteurl)
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            why = "the password is sent to upstream readably"
            return Remark(f"{key}.remoteurl", why, "use https")
    return None


def debug_for_everyone(given: Reviewed) -> Remark | None:
    """The debug listener has no authentication. Releases also offer profiles of the process on
    it, and 3.x the whole redis section with its password."""
    debug = given.config.http.debug
    if debug is None or is_loopback(parse_address(debug.addr).host):
        return None
    return Remark(
        "http.debug.addr",
        "everyone who reaches this address sees health, counters and variables, without a password",
        "listen on 127.0.0.1, or keep others out of the port",
    )


def _with_user(config: Config) -> Iterator[tuple[str, UpstreamConfig]]:
    """The upstreams that know who asks them, with the keys of their sections."""
    if config.proxy is not None:
        for _, key, upstream in upstreams_of(config.proxy):
            if upstream.username is not None or upstream.exec is not None:
                yield key, upstream


def _asks_who(config: Config) -> bool:
    """Whether clients have to show who they are."""
    tls = config.http.tls
    known = config.auth.htpasswd is not None or config.auth.token is not None
    return known or (tls is not None and bool(tls.clientcas))


def _reachable(config: Config) -> bool:
    """Whether other machines can connect, judging by the address."""
    http = config.http
    return http.net == "tcp" and not is_loopback(parse_address(http.addr).host)
