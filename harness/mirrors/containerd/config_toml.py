"""The registry section of containerd's ``config.toml``.

Understands the plugin's name in every version of the file, and says when the CRI plugin would not
load at all. Reference:
https://github.com/containerd/containerd/blob/main/docs/cri/registry.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.mirrors.containerd.credentials import AuthConfig
from harness.mirrors.containerd.releases import Release
from harness.mirrors.go_url import InvalidURL, parse_url
from harness.mirrors.toml_statements import InvalidTOML, read_toml, statements

__all__ = ["EndpointTLS", "InvalidConfig", "RegistryConfig", "parse_config_toml"]

WELL_KNOWN_DIRECTORIES = "/etc/containerd/certs.d:/etc/docker/certs.d"


class InvalidConfig(ValueError):
    """containerd, or its CRI plugin, does not start with this file; ``line`` counts from 1."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


@dataclass(frozen=True)
class EndpointTLS:
    """``registry.configs.HOST.tls``, of 1.x and together with ``mirrors`` only."""

    skip_verify: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, kw_only=True)
class RegistryConfig:
    """What of config.toml decides where an image comes from."""

    config_path: str = ""
    """Directories, separated by colons."""
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Endpoints by registry, ``*`` for all others (deprecated)."""
    auths: Mapping[str, AuthConfig] = field(default_factory=dict)
    """Credentials by contacted host and port."""
    tls: Mapping[str, EndpointTLS] = field(default_factory=dict)
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sent to every registry."""
    local_puller: str | None = None
    """The setting because of which the transfer service is not used; None if it is."""

    @property
    def directories(self) -> tuple[str, ...]:
        """``config_path`` as filepath.SplitList takes it apart."""
        return tuple(self.config_path.split(":")) if self.config_path else ()


def parse_config_toml(text: str, release: Release) -> RegistryConfig:
    """The registry settings in *text*. Raises :class:`InvalidConfig`."""
    try:
        document = read_toml(text)
    except InvalidTOML as error:
        raise InvalidConfig(f"invalid TOML: {error.reason}", error.line) from None
    reader = _Reader(text, document)
    version = reader.version(release)
    base = _section(release, version)
    images = reader.table(*base)
    registry = reader.table(*base, "registry")
    config = RegistryConfig(
        config_path=_config_path(reader, (*base, "registry"), release),
        mirrors=dict(reader.mirrors(*base, "registry", "mirrors")),
        auths=dict(reader.auths(*base, "registry")),
        tls=dict(reader.tls(*base, "registry", "configs")),
        headers=dict(reader.headers(*base, "registry", "headers")),
    )
    _refuse_contradictions(config, release)
    return replace(config, local_puller=_local_puller(images, registry, version, release))


def _section(release: Release, version: int) -> tuple[str, ...]:
    if version >= 3 and release.config_version >= 3:
        return ("plugins", "io.containerd.cri.v1.images")
    return ("plugins", "cri") if version < 2 else ("plugins", "io.containerd.grpc.v1.cri")


def _config_path(reader: _Reader, registry: tuple[str, ...], release: Release) -> str:
    written = reader.get(*registry, "config_path")
    path = "" if written is None else reader.string(*registry, "config_path")
    match release.default_config_path:
        case "until set" if written is None:
            return WELL_KNOWN_DIRECTORIES
        case "without mirrors" if not path and not reader.get(*registry, "mirrors"):
            return WELL_KNOWN_DIRECTORIES
    return path


def _refuse_contradictions(config: RegistryConfig, release: Release) -> None:
    if not config.config_path:
        return
    if config.mirrors:
        raise InvalidConfig("`mirrors` cannot be set when `config_path` is provided")
    if config.tls and release.legacy_tls:
        raise InvalidConfig("`configs.tls` cannot be set when `config_path` is provided")


def _local_puller(
    images: Mapping[str, Any], registry: Mapping[str, Any], version: int, release: Release
) -> str | None:
    """The first setting that the transfer service cannot honour."""
    if not release.transfer_service:
        return None
    snapshots = images if version >= 3 else images.get("containerd", {})
    settings = {
        "use_local_image_pull": images.get("use_local_image_pull") is True,
        "disable_snapshot_annotations": snapshots.get("disable_snapshot_annotations") is False,
        "discard_unpacked_layers": snapshots.get("discard_unpacked_layers") is True,
        "registry.mirrors": bool(registry.get("mirrors")),
        "registry.configs": bool(registry.get("configs")),
        "registry.auths": bool(registry.get("auths")),
        "max_concurrent_downloads": images.get("max_concurrent_downloads", 3) != 3,
        "image_pull_with_sync_fs": images.get("image_pull_with_sync_fs") is True,
    }
    return next((name for name, is_set in settings.items() if is_set), None)


class _Reader:
    """Typed look-ups; every complaint names the key and its line."""

    def __init__(self, text: str, document: Mapping[str, Any]) -> None:
        self._text = text
        self._document = document

    def version(self, release: Release) -> int:
        """The file's format version; a release refuses one that is newer than itself."""
        version = self._document.get("version", 1)
        if not isinstance(version, int):
            raise self.invalid("must be a number", "version")
        if version > release.config_version:
            raise self.invalid(
                f"{version} is not known to containerd {release.version}, which reads "
                f"{release.config_version} or less",
                "version",
            )
        return version

    def get(self, *path: str) -> Any:
        """What stands at *path*, None if nothing does."""
        value: Any = self._document
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return None
            value = value[part]
        return value

    def table(self, *path: str) -> Mapping[str, Any]:
        """The table at *path*, empty if absent."""
        value = self.get(*path)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.invalid("must be a table", *path)
        return value

    def string(self, *path: str) -> str:
        """The string at *path*, empty if absent."""
        value = self.get(*path)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.invalid("must be a string", *path)
        return value

    def strings(self, *path: str) -> tuple[str, ...]:
        """The list of strings at *path*, empty if absent."""
        value = self.get(*path)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.invalid("must be a list of strings", *path)
        return tuple(value)

    def mirrors(self, *path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Endpoints by registry."""
        for registry in self.table(*path):
            yield registry, self.strings(*path, registry, "endpoint")

    def headers(self, *path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Values by header name."""
        for name in self.table(*path):
            yield name, self.strings(*path, name)

    def tls(self, *path: str) -> Iterator[tuple[str, EndpointTLS]]:
        """TLS settings by host."""
        for host in self.table(*path):
            if self.get(*path, host, "tls") is not None:
                base = (*path, host, "tls")
                yield (
                    host,
                    EndpointTLS(
                        self.get(*base, "insecure_skip_verify") is True,
                        self.string(*base, "ca_file"),
                        self.string(*base, "cert_file"),
                        self.string(*base, "key_file"),
                    ),
                )

    def auths(self, *registry: str) -> Iterator[tuple[str, AuthConfig]]:
        """``configs.HOST.auth``, then ``auths."URL"``, which overrides it."""
        for host in self.table(*registry, "configs"):
            if self.get(*registry, "configs", host, "auth") is not None:
                yield host, self._auth(*registry, "configs", host, "auth")
        for endpoint in self.table(*registry, "auths"):
            try:
                url = parse_url(endpoint)
            except InvalidURL as error:
                raise self.invalid(
                    f"failed to parse registry url: {error}", *registry, "auths", endpoint
                ) from None
            yield url.host if url.scheme else endpoint, self._auth(*registry, "auths", endpoint)

    def _auth(self, *path: str) -> AuthConfig:
        self.table(*path)
        return AuthConfig(
            username=self.string(*path, "username"),
            password=self.string(*path, "password"),
            auth=self.string(*path, "auth"),
            identity_token=self.string(*path, "identitytoken"),
        )

    def invalid(self, problem: str, *path: str) -> InvalidConfig:
        """The error for what stands at *path*."""
        depth = len(path)
        line = next((s.line for s in statements(self._text) if s.path[:depth] == path), None)
        return InvalidConfig(f"`{'.'.join(path[-3:])}` {problem}", line)
