"""distribution's ``config.yml``: the model, and how it is read.

``model`` is the typed configuration that everything else takes; ``file`` reads it from YAML and
``REGISTRY_*`` variables, with errors that name file, line, key and fix.
"""

from reference_registry.config.model import (
    DEFAULT_TTL,
    AuthConfig,
    CacheConfig,
    CachePolicy,
    Config,
    DebugConfig,
    ExecConfig,
    GarbageCollectionConfig,
    HealthConfig,
    HtpasswdConfig,
    HttpConfig,
    LogConfig,
    PeriodicCheck,
    ProxyConfig,
    RedisConfig,
    RedisTlsConfig,
    StorageConfig,
    TlsConfig,
    TokenConfig,
    UploadPurgingConfig,
    UpstreamConfig,
    Verify,
)

__all__ = [
    "DEFAULT_TTL",
    "AuthConfig",
    "CacheConfig",
    "CachePolicy",
    "Config",
    "DebugConfig",
    "ExecConfig",
    "GarbageCollectionConfig",
    "HealthConfig",
    "HtpasswdConfig",
    "HttpConfig",
    "LogConfig",
    "PeriodicCheck",
    "ProxyConfig",
    "RedisConfig",
    "RedisTlsConfig",
    "StorageConfig",
    "TlsConfig",
    "TokenConfig",
    "UploadPurgingConfig",
    "UpstreamConfig",
    "Verify",
]
