"""distribution's ``config.yml`` as a typed model.

Field names follow the keys of the file
(https://distribution.github.io/distribution/about/configuration/); durations are ``timedelta``.
``config.file`` reads the file and ``REGISTRY_*`` variables, with errors that name file, line, key
and fix. Code and tests can also build a :class:`Config` directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args

DEFAULT_TTL = timedelta(hours=168)
"""What distribution uses where ``proxy.ttl`` is absent, and 2.8 always."""

LogLevel = Literal["error", "warn", "info", "debug"]
LogFormatter = Literal["text", "json", "logstash"]
Network = Literal["tcp", "unix"]
Verify = Literal["on-change", "always", "never"]
CheckKind = Literal["storagedriver", "file", "http", "tcp"]
LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)
LOG_FORMATTERS: tuple[LogFormatter, ...] = get_args(LogFormatter)
NETWORKS: tuple[Network, ...] = get_args(Network)
VERIFY: tuple[Verify, ...] = get_args(Verify)


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """``log``. ``fields`` are added to every line; ``logstash`` is JSON with its names."""

    level: LogLevel = "info"
    formatter: LogFormatter = "text"
    fields: Mapping[str, str] = field(default_factory=dict)
    accesslog_disabled: bool = False


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """``storage.cache``: where blob descriptors are remembered."""

    blobdescriptor: str | None = None
    """``inmemory``, ``redis``, or None for no cache."""
    blobdescriptorsize: int = 10_000
    """Entries that ``inmemory`` keeps; 0 for no bound, as 2.8 has it."""


@dataclass(frozen=True, kw_only=True)
class UploadPurgingConfig:
    """``storage.maintenance.uploadpurging``."""

    enabled: bool = True
    age: timedelta = timedelta(hours=168)
    interval: timedelta = timedelta(hours=24)
    dryrun: bool = False


@dataclass(frozen=True, kw_only=True)
class GarbageCollectionConfig:
    """``storage.maintenance.x-garbage-collection``: collecting while the registry serves."""

    interval: timedelta
    grace: timedelta = timedelta(hours=1)
    """How long unreferenced content stays after it was pushed, pulled or asked for."""
    deleteuntagged: bool = False


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """``storage``. Exactly one driver: ``filesystem`` (with a root directory) or ``inmemory``."""

    driver: Literal["filesystem", "inmemory"] = "filesystem"
    rootdirectory: Path = Path("/var/lib/registry")
    delete_enabled: bool = False
    cache: CacheConfig = CacheConfig()
    uploadpurging: UploadPurgingConfig = UploadPurgingConfig()
    garbage_collection: GarbageCollectionConfig | None = None
    """None where garbage is collected by command only."""
    readonly: bool = False


@dataclass(frozen=True, kw_only=True)
class RedisTlsConfig:
    """``redis.tls`` (3.0.0 and later)."""

    certificate: Path | None = None
    """This client's; ``key`` goes with it."""
    key: Path | None = None
    rootcas: tuple[Path, ...] = ()
    """Who may have signed the server's certificate; empty for those that the system trusts."""


@dataclass(frozen=True, kw_only=True)
class RedisConfig:
    """``redis``, as 2.8 spells it (``addr``); 3.x's ``addrs`` fills the same field."""

    addr: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: RedisTlsConfig | None = None
    dialtimeout: timedelta | None = None
    readtimeout: timedelta | None = None
    pool_maxactive: int | None = None
    """``redis.pool.maxactive``, or ``redis.poolsize``; None for no bound."""


@dataclass(frozen=True, kw_only=True)
class ExecConfig:
    """``proxy.exec``: a credential helper that names the user of upstream (3.0.0 and later)."""

    command: str
    lifetime: timedelta | None = None
    """How long its answer is kept; None: forever. Zero: it runs each time."""


@dataclass(frozen=True, kw_only=True)
class CachePolicy:
    """How long a cache trusts its content, and how much it keeps: ``proxy.x-...`` (``ideal``). The
    defaults are what distribution does."""

    tag_freshness: timedelta = timedelta(0)
    """``x-tag-freshness``: how long a tag is fresh, so that upstream is not asked."""
    negative_ttl: timedelta = timedelta(0)
    """``x-negative-ttl``: how long a 404 of upstream is cached."""
    max_size: int | None = None
    """``x-max-size``: bytes of content above which the least recently used is evicted."""
    refresh_on_hit: bool = False
    """``x-refresh-on-hit``: whether a hit extends expiry."""


@dataclass(frozen=True, kw_only=True)
class UpstreamConfig:
    """One upstream of a cache: ``proxy`` itself, or an entry of ``proxy.x-upstreams``."""

    remoteurl: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    exec: ExecConfig | None = None
    """Goes before ``username`` and ``password``."""
    ttl: timedelta | None = DEFAULT_TTL
    """How long after caching an entry expires; None: never (``ttl: 0`` under 3.x)."""
    namespaces: tuple[str, ...] | None = None
    """``namespaces`` (``x-namespaces`` of ``proxy``): its names in ``ns=``; None: its prefix and
    the host of its URL."""
    library: bool = False
    """``library`` (``x-library``): whether ``NAME`` means ``library/NAME``, as at Docker Hub."""
    local_hosts: tuple[str, ...] = ()
    """``local-hosts`` (``x-local-hosts``): the hosts of our own network that an outside upstream
    may name in a redirect or as its token server."""


@dataclass(frozen=True, kw_only=True)
class ProxyConfig(UpstreamConfig):
    """``proxy``. Present in :class:`Config` only where ``remoteurl`` is not empty."""

    upstreams: Mapping[str, UpstreamConfig] = field(default_factory=dict)
    """``x-upstreams``: further ones, by the path component above their repositories."""
    offline: bool = False
    """``x-offline``: upstream is never asked."""
    upstream_timeout: timedelta = timedelta(seconds=60)
    """``x-upstream-timeout``: how long an upstream may be silent."""
    verify: Verify = "on-change"
    """``x-verify``: when a cached blob is hashed before it is served (``ideal`` only)."""
    policy: CachePolicy = CachePolicy()


@dataclass(frozen=True, kw_only=True)
class TlsConfig:
    """``http.tls``."""

    certificate: Path
    key: Path
    clientcas: tuple[Path, ...] = ()
    minimumtls: str = "tls1.2"


@dataclass(frozen=True, kw_only=True)
class DebugConfig:
    """``http.debug``: a second listener for health, metrics and variables."""

    addr: str
    prometheus_enabled: bool = False
    prometheus_path: str = "/metrics"


@dataclass(frozen=True, kw_only=True)
class HttpConfig:
    """``http``. ``addr`` is ``[HOST]:PORT``; an absent host means every interface. Where ``net`` is
    ``unix`` it is the path of a socket."""

    addr: str = ":0"
    net: Network = "tcp"
    host: str | None = None
    prefix: str = "/"
    relativeurls: bool = False
    secret: str | None = field(default=None, repr=False)
    draintimeout: timedelta | None = None
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tls: TlsConfig | None = None
    http2: bool = True
    """HTTP/2 over TLS; ``http.http2.disabled`` turns it off."""
    h2c: bool = False
    """HTTP/2 without TLS (3.0.0 and later)."""
    debug: DebugConfig | None = None
    trusted_proxies: tuple[str, ...] = ()
    """``x-trusted-proxies``: addresses and networks whose ``Forwarded`` headers are believed
    (``ideal``)."""


@dataclass(frozen=True, kw_only=True)
class HtpasswdConfig:
    """``auth.htpasswd``."""

    realm: str
    path: Path


SIGNING_ALGORITHMS = (
    *("EdDSA", "ES256", "ES384", "ES512", "HS256", "HS384", "HS512"),
    *("PS256", "PS384", "PS512", "RS256", "RS384", "RS512"),
)
"""What distribution knows for ``auth.token.signingalgorithms``. HS, with a shared secret, never
works: all keys of a registry are public."""


@dataclass(frozen=True, kw_only=True)
class TokenConfig:
    """``auth.token``. At least one of ``rootcertbundle`` and ``jwks`` is set."""

    realm: str
    service: str
    issuer: str
    rootcertbundle: Path | None = None
    """PEM certificates whose keys, or those of certificates that they issued, sign tokens."""
    jwks: Path | None = None
    """A JWK set of keys that sign tokens (3.x)."""
    autoredirect: bool = False
    """The realm is this registry's own host, with ``autoredirectpath``."""
    autoredirectpath: str = "/auth/token"
    signingalgorithms: tuple[str, ...] = SIGNING_ALGORITHMS


@dataclass(frozen=True, kw_only=True)
class ClientAuthConfig:
    """``auth``: at most one type. None of them set means everyone may do everything."""

    htpasswd: HtpasswdConfig | None = None
    token: TokenConfig | None = None


@dataclass(frozen=True, kw_only=True)
class PeriodicCheck:
    """One entry of ``health``: what is checked, how often, after how many failures it counts."""

    kind: CheckKind
    target: str = ""
    """The path, URI or address; empty for the storage driver."""
    interval: timedelta = timedelta(seconds=10)
    threshold: int = 0
    timeout: timedelta | None = None
    statuscode: int = 200
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class HealthConfig:
    """``health``."""

    checks: tuple[PeriodicCheck, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole configuration, valid by construction."""

    log: LogConfig = LogConfig()
    storage: StorageConfig = StorageConfig()
    redis: RedisConfig | None = None
    proxy: ProxyConfig | None = None
    http: HttpConfig = HttpConfig()
    auth: ClientAuthConfig = ClientAuthConfig()
    health: HealthConfig = HealthConfig()
    catalog_maxentries: int = 1000
    tags_maxtags: int = 1000
