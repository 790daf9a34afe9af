"""The settings of a registry under test, and distribution's ``config.yml`` made from them.

Keys: https://distribution.github.io/distribution/about/configuration/
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import bcrypt
import yaml

from harness.targets.readings import FILE_NAME

HTPASSWD = "htpasswd"
"""The name of the password file, in the directory of the configuration file."""
REALM = "pullproof"
"""The realm of the challenge where ``htpasswd`` is set."""


def _key(path: str, default: Any = None, *, secret: bool = False) -> Any:
    """A setting that is the value of the key *path*, which is left out for None and False."""
    return field(default=default, repr=not secret, metadata={"key": path})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that scenarios vary, with its key. The default is a plain standard registry."""

    log_level: Literal["error", "warn", "info", "debug"] = _key("log.level", "info")
    log_formatter: Literal["text", "json"] = _key("log.formatter", "text")
    upstream_url: str | None = _key("proxy.remoteurl")
    """Makes it a pull-through cache; without it no other key below ``proxy`` is written."""
    upstream_login: tuple[str, str] | None = field(default=None, repr=False)
    """``proxy.username`` and ``proxy.password``."""
    ttl: str | int | None = _key("proxy.ttl")
    tag_freshness: str | None = _key("proxy.x-tag-freshness")
    negative_ttl: str | None = _key("proxy.x-negative-ttl")
    max_size: str | None = _key("proxy.x-max-size")
    refresh_on_hit: bool = _key("proxy.x-refresh-on-hit", False)
    upstreams: Mapping[str, Mapping[str, Any]] | None = _key("proxy.x-upstreams", secret=True)
    """Further upstreams by prefix, with the keys of the file."""
    namespaces: Sequence[str] | None = _key("proxy.x-namespaces")
    library: bool = _key("proxy.x-library", False)
    offline: bool = _key("proxy.x-offline", False)
    delete_enabled: bool = _key("storage.delete.enabled", False)
    cache: Literal["inmemory", "redis"] | None = _key("storage.cache.blobdescriptor")
    readonly: bool = _key("storage.maintenance.readonly.enabled", False)
    secret: str | None = _key("http.secret", "signs-upload-tokens", secret=True)
    prefix: str | None = _key("http.prefix")
    draintimeout: str | None = _key("http.draintimeout")
    headers: Mapping[str, Sequence[str]] | None = _key("http.headers")
    maxentries: int | None = _key("catalog.maxentries")
    redis_addr: str | None = None
    """``host:port``, for ``cache="redis"``."""
    htpasswd: Mapping[str, str] | None = field(default=None, repr=False)
    """Users and passwords that clients need."""
    prometheus: bool = True
    """Metrics on the debug address."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Merged over all of the above, deeply; a None removes the key."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """``REGISTRY_*`` variables, which override the file. Those of the test process are removed."""

    own_process: bool = False
    """Whether the reference registry runs as a process of its own instead of in the test process.
    Set for scenarios with ``Need.PROCESS``."""
    root: Path | None = None
    """Its storage directory; None: in its working directory."""

    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be shown."""
        others = (self.upstreams or {}).values()
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

    for setting in fields(settings):
        key, value = setting.metadata.get("key", ""), getattr(settings, setting.name)
        left_out = not key or (key.startswith("proxy.") and settings.upstream_url is None)
        if not left_out and value is not None and value is not False:
            put(key, _plain(value))
    put("storage.filesystem.rootdirectory", str(root))
    put("http.addr", addr)
    put("http.debug.addr", debug_addr)
    if settings.prometheus:
        put("http.debug.prometheus", {"enabled": True, "path": "/metrics"})
    if settings.upstream_login is not None and settings.upstream_url is not None:
        document["proxy"]["username"], document["proxy"]["password"] = settings.upstream_login
    if settings.redis_addr is not None:
        many = redis_key == "addrs"
        put(f"redis.{redis_key}", [settings.redis_addr] if many else settings.redis_addr)
    if settings.htpasswd is not None:
        put("auth.htpasswd", {"realm": REALM, "path": str(htpasswd)})
    return merged(document, settings.extra)


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


@dataclass(frozen=True)
class Files:
    """The settings of one registry and the files made from them, below its working directory."""

    settings: Settings
    workdir: Path

    @property
    def root(self) -> Path:
        """The storage directory."""
        return self.settings.root or self.workdir / "storage"

    @property
    def config(self) -> Path:
        return self.workdir / "config.yml"

    @property
    def state(self) -> Path:
        return self.root / FILE_NAME

    def prepare(self) -> None:
        """Create the working directory, and the password file if the settings name users."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        if self.settings.htpasswd is not None:
            (self.workdir / HTPASSWD).write_text(htpasswd_text(self.settings.htpasswd))

    def write_config(self, addr: str, debug_addr: str, redis_key: Literal["addr", "addrs"]) -> None:
        """Write the configuration of a registry that listens on *addr* and *debug_addr*."""
        places = {"root": self.root, "htpasswd": self.workdir / HTPASSWD}
        document = render(
            self.settings, **places, addr=addr, debug_addr=debug_addr, redis_key=redis_key
        )
        self.config.write_text(config_text(document))
