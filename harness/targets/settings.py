"""The settings of a registry under test, and distribution's ``config.yml`` made from them.

Keys: https://distribution.github.io/distribution/about/configuration/
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import bcrypt
import yaml

__all__ = ["HTPASSWD", "Settings", "config_text", "htpasswd_text", "render"]

HTPASSWD = "htpasswd"
"""The name of the password file, in the directory of the configuration file."""
REALM = "pullproof"
"""The realm of the challenge where ``htpasswd`` is set."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that scenarios vary. The default is a plain standard registry."""

    upstream_url: str | None = None
    """``proxy.remoteurl``: makes it a pull-through cache."""
    upstream_login: tuple[str, str] | None = field(default=None, repr=False)
    """``proxy.username`` and ``proxy.password``."""
    ttl: str | int | None = None
    """``proxy.ttl``, as written in the file (``48h``, ``0``); None leaves the key out."""
    tag_freshness: str | None = None
    """``proxy.x-tag-freshness``, such as ``15m`` (see docs/configuration.md)."""
    negative_ttl: str | None = None
    """``proxy.x-negative-ttl``, such as ``30s``."""
    max_size: str | None = None
    """``proxy.x-max-size``, such as ``50GB``."""
    refresh_on_hit: bool = False
    """``proxy.x-refresh-on-hit``."""
    upstreams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """``proxy.x-upstreams``: further upstreams by prefix, with the keys of the file."""
    namespaces: Sequence[str] | None = None
    """``proxy.x-namespaces``: the values of ``ns=`` for the upstream of ``upstream_url``."""
    library: bool = False
    """``proxy.x-library``."""
    offline: bool = False
    """``proxy.x-offline``."""
    delete_enabled: bool = False
    cache: Literal["inmemory", "redis"] | None = None
    """``storage.cache.blobdescriptor``."""
    redis_addr: str | None = None
    """``host:port``, for ``cache="redis"``."""
    htpasswd: Mapping[str, str] | None = field(default=None, repr=False)
    """Users and passwords that clients need."""
    readonly: bool = False
    """``storage.maintenance.readonly.enabled``."""
    draintimeout: str | None = None
    """``http.draintimeout``: how long SIGTERM lets requests finish, such as ``5s``."""
    prometheus: bool = True
    """Metrics on the debug address."""
    secret: str | None = field(default="signs-upload-tokens", repr=False)
    """``http.secret``, which signs upload tokens; the same after a restart."""
    headers: Mapping[str, Sequence[str]] | None = None
    """``http.headers``: added to every API answer."""
    prefix: str | None = None
    log_level: Literal["error", "warn", "info", "debug"] = "info"
    log_formatter: Literal["text", "json"] = "text"
    maxentries: int | None = None
    """``catalog.maxentries``."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Merged over all of the above, deeply; a None removes the key."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """``REGISTRY_*`` variables, which override the file. Those of the test process are removed."""

    own_process: bool = False
    """Run it as a process of its own; the reference registry runs in the test process otherwise.
    Set for scenarios with ``Need.PROCESS``."""
    root: Path | None = None
    """Its storage directory; None: in its working directory."""

    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be shown."""
        others = self.upstreams.values()
        logins = [
            *(self.htpasswd or {}).items(),
            *([self.upstream_login] if self.upstream_login else []),
            *((one["username"], one["password"]) for one in others if "password" in one),
        ]
        basic = [b64encode(":".join(login).encode()).decode() for login in logins]
        return (*basic, *(password for _, password in logins), *filter(None, [self.secret]))


def render(
    settings: Settings,
    *,
    root: Path,
    htpasswd: Path,
    addr: str = "127.0.0.1:0",
    debug_addr: str = "127.0.0.1:0",
    redis_key: Literal["addr", "addrs"] = "addr",
) -> dict[str, Any]:
    """*settings* as the document of a configuration file.

    *root* is the storage directory, *htpasswd* the path of the password file.
    *redis_key* is how the release spells the address: ``addr`` (2.8, 3.0.0-alpha.1) or ``addrs``.
    """
    document: dict[str, Any] = {"version": 0.1}

    def put(key: str, value: object) -> None:
        *sections, last = key.split(".")
        section = document
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value

    put("log.level", settings.log_level)
    put("log.formatter", settings.log_formatter)
    put("storage.filesystem.rootdirectory", str(root))
    put("http.addr", addr)
    put("http.debug.addr", debug_addr)
    if settings.prometheus:
        put("http.debug.prometheus", {"enabled": True, "path": "/metrics"})
    if settings.upstream_login is not None and settings.upstream_url is not None:
        put("proxy", dict(zip(("username", "password"), settings.upstream_login, strict=True)))
    for key, name in _KEYS.items():
        value = getattr(settings, name)
        skipped = key.startswith("proxy.") and settings.upstream_url is None
        if not skipped and value is not None and value is not False and value != {}:
            put(key, _plain(value))
    if settings.redis_addr is not None:
        many = redis_key == "addrs"
        put(f"redis.{redis_key}", [settings.redis_addr] if many else settings.redis_addr)
    if settings.htpasswd is not None:
        put("auth.htpasswd", {"realm": REALM, "path": str(htpasswd)})
    return merged(document, settings.extra)


_KEYS = {
    "proxy.remoteurl": "upstream_url",
    "proxy.ttl": "ttl",
    "proxy.x-tag-freshness": "tag_freshness",
    "proxy.x-negative-ttl": "negative_ttl",
    "proxy.x-max-size": "max_size",
    "proxy.x-refresh-on-hit": "refresh_on_hit",
    "proxy.x-upstreams": "upstreams",
    "proxy.x-namespaces": "namespaces",
    "proxy.x-library": "library",
    "proxy.x-offline": "offline",
    "storage.delete.enabled": "delete_enabled",
    "storage.cache.blobdescriptor": "cache",
    "storage.maintenance.readonly.enabled": "readonly",
    "http.secret": "secret",
    "http.prefix": "prefix",
    "http.draintimeout": "draintimeout",
    "http.headers": "headers",
    "catalog.maxentries": "maxentries",
}
"""Keys of the file that have the value of a setting, if it is set."""


def _plain(value: Any) -> Any:
    """*value* with lists and dicts for other sequences and mappings, as YAML needs them."""
    if isinstance(value, Mapping):
        return {key: _plain(below) for key, below in value.items()}
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """*base* updated with *over*: mappings merge, other values replace, None removes."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def config_text(document: Mapping[str, Any]) -> str:
    """*document* as YAML, keys in the order given."""
    return yaml.safe_dump(dict(document), sort_keys=False)


def htpasswd_text(users: Mapping[str, str]) -> str:
    """An Apache password file with bcrypt hashes, the only kind that distribution accepts, at the
    lowest cost, because tests check many passwords."""
    return "".join(
        f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()}\n"
        for user, password in users.items()
    )
