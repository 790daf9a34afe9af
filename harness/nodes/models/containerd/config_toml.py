"""The registry section of containerd's ``config.toml``.

Handles the plugin's name in every version of the file, and reports when the CRI plugin would not
load. Reference:
https://github.com/containerd/containerd/blob/main/docs/cri/registry.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from harness.nodes.models.containerd.config_files import (
    CONFIG_FILE,
    GRPC_CRI,
    IMAGES,
    NO_FILES,
    Configuration,
    InvalidConfig,
    read_configuration,
    version_of,
)
from harness.nodes.models.containerd.pullers import AuthConfig
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.files import FileTree
from harness.nodes.models.go_url import InvalidURL, parse_url
from harness.nodes.models.toml_statements import is_a, read_toml, statements

WELL_KNOWN_DIRECTORIES = "/etc/containerd/certs.d:/etc/docker/certs.d"


@dataclass(frozen=True)
class EndpointTLS:
    """``registry.configs.HOST.tls``, of 1.x and together with ``mirrors`` only."""

    skip_verify: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, kw_only=True)
class RegistryConfig:
    """The settings of config.toml that decide where an image comes from."""

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
    """The setting that disables the transfer service; None if it is used."""
    configuration: Configuration = field(default=NO_FILES, repr=False, compare=False)
    """The source of these settings."""

    @property
    def directories(self) -> tuple[str, ...]:
        """The directories in ``config_path``, split like filepath.SplitList."""
        return tuple(self.config_path.split(":")) if self.config_path else ()


def parse_config_toml(
    text: str, release: Release, files: Mapping[str, str] | None = None, path: str = CONFIG_FILE
) -> RegistryConfig:
    """The registry settings of the file *text* at *path* with its imports from *files*.

    Raises :class:`InvalidConfig`.
    """
    tree = FileTree({**(files or {}), path: text})
    return registry_config(read_configuration(tree, release, path), release)


def registry_config(configuration: Configuration, release: Release) -> RegistryConfig:
    """The registry settings of *configuration*. Raises :class:`InvalidConfig`."""
    reader = _Reader(configuration, section_of(configuration.version, release))
    images = reader.table()
    registry = reader.table("registry")
    path = reader.get("a string", "registry", "config_path")
    default = release.default_config_path
    if (default == "until set" and path is None) or (
        default == "without mirrors" and not path and not registry.get("mirrors")
    ):
        path = WELL_KNOWN_DIRECTORIES
    config = RegistryConfig(
        config_path=path or "",
        mirrors={
            name: reader.strings("registry", "mirrors", name, "endpoint")
            for name in reader.table("registry", "mirrors")
        },
        auths=reader.auths(),
        tls=reader.tls(),
        headers={
            name: reader.strings("registry", "headers", name)
            for name in reader.table("registry", "headers")
        },
        configuration=configuration,
    )
    _reject_contradictions(config, release)
    return replace(config, local_puller=local_puller(images, registry, release))


def section_of(version: int, release: Release) -> str:
    """The plugin whose ``registry`` the release reads after merging all files of *version*."""
    if release.migrates_config != "never":
        return IMAGES
    return "cri" if version < 2 else GRPC_CRI


def _reject_contradictions(config: RegistryConfig, release: Release) -> None:
    """Raises :class:`InvalidConfig` if the CRI plugin would not load, although containerd does."""
    invalid = partial(config.configuration.invalid, stops_containerd=False)
    off = {"cri", GRPC_CRI, IMAGES}.intersection(config.configuration.disabled)
    if off:
        raise invalid(f"`disabled_plugins` names {min(off)!r}", "disabled_plugins")
    provided = "cannot be set when `config_path` is provided"
    if config.config_path and config.mirrors:
        raise invalid(f"`mirrors` {provided}", "registry", "mirrors")
    if config.config_path and config.tls and release.legacy_tls:
        raise invalid(f"`configs.tls` {provided}", "registry", "configs")


def local_puller(
    images: Mapping[str, Any], registry: Mapping[str, Any], release: Release
) -> str | None:
    """The first setting of the plugin's section *images*, or of *registry* in it, that the transfer
    service does not support; None if that service pulls or *release* has none."""
    if not release.transfer_service:
        return None
    settings = {
        "use_local_image_pull": images.get("use_local_image_pull") is True,
        "disable_snapshot_annotations": images.get("disable_snapshot_annotations") is False,
        "discard_unpacked_layers": images.get("discard_unpacked_layers") is True,
        "registry.mirrors": bool(registry.get("mirrors")),
        "registry.configs": bool(registry.get("configs")),
        "registry.auths": bool(registry.get("auths")),
        "max_concurrent_downloads": images.get("max_concurrent_downloads", 3) != 3,
        "image_pull_with_sync_fs": images.get("image_pull_with_sync_fs") is True,
    }
    return next((name for name, is_set in settings.items() if is_set), None)


class _Reader:
    """Typed look-ups in the plugin's *section*; every error has the key and its line."""

    def __init__(self, configuration: Configuration, section: str) -> None:
        self._configuration = configuration
        self._section = section

    def get(self, kind: str, *path: str) -> Any:
        """The value at *path*, None if absent; any other must be of *kind* (see ``is_a``)."""
        value: Any = self._configuration.plugins
        for part in (self._section, *path):
            if not isinstance(value, dict) or part not in value:
                return None
            value = value[part]
        if not is_a(value, kind):
            raise self._invalid(f"must be {kind}", *path)
        return value

    def table(self, *path: str) -> Mapping[str, Any]:
        """The table at *path*, empty if absent."""
        return self.get("a table", *path) or {}

    def strings(self, *path: str) -> tuple[str, ...]:
        """The list of strings at *path*, empty if absent."""
        return tuple(self.get("a list of strings", *path) or ())

    def tls(self) -> dict[str, EndpointTLS]:
        """TLS settings by host."""
        found = {}
        for host, config in self.table("registry", "configs").items():
            base = ("registry", "configs", host, "tls")
            if isinstance(config, dict) and "tls" in config:
                skip = isinstance(config["tls"], dict) and config["tls"].get("insecure_skip_verify")
                files = (self._text(*base, key) for key in ("ca_file", "cert_file", "key_file"))
                found[host] = EndpointTLS(skip is True, *files)
        return found

    def auths(self) -> dict[str, AuthConfig]:
        """``configs.HOST.auth``, then ``auths."URL"``, which overrides it."""
        found = {}
        for host, config in self.table("registry", "configs").items():
            if isinstance(config, dict) and "auth" in config:
                found[host] = self._auth("registry", "configs", host, "auth")
        for endpoint in self.table("registry", "auths"):
            try:
                url = parse_url(endpoint)
            except InvalidURL as error:
                reason = f"failed to parse registry url: {error}"
                raise self._configuration.invalid(
                    reason, "auths", endpoint, stops_containerd=False
                ) from None
            auth = self._auth("registry", "auths", endpoint)
            found[url.host if url.scheme else endpoint] = auth
        return found

    def _auth(self, *path: str) -> AuthConfig:
        self.table(*path)
        return AuthConfig(
            username=self._text(*path, "username"),
            password=self._text(*path, "password"),
            auth=self._text(*path, "auth"),
            identity_token=self._text(*path, "identitytoken"),
        )

    def _text(self, *path: str) -> str:
        return self.get("a string", *path) or ""

    def _invalid(self, problem: str, *path: str) -> InvalidConfig:
        configuration, whole = self._configuration, ("plugins", self._section, *path)
        known = path if path and configuration.place(*path) else whole[:2]
        return configuration.invalid(f"`{'.'.join(whole[-3:])}` {problem}", *known)


_NAMES = ("cri", GRPC_CRI, IMAGES)


def registry_sections(text: str) -> Sequence[str]:
    """The plugin names with registry settings in the valid file *text*."""
    plugins = read_toml(text).get("plugins", {})
    return [n for n in _NAMES if isinstance(plugins.get(n), dict) and plugins[n].get("registry")]


def section_line(text: str, name: str) -> int | None:
    """The first line of the section in *text*."""
    return next((s.line for s in statements(text) if s.path[:2] == ("plugins", name)), None)


def is_read(name: str, text: str, configuration: Configuration, release: Release) -> bool:
    """Whether the release reads the section *name* of the file *text* of *configuration*."""
    match release.migrates_config:
        case "never":
            return name == ("cri" if configuration.version < 2 else GRPC_CRI)
        case "at the end":
            carried_over = configuration.version < release.config_version
        case "each file":
            carried_over = version_of(read_toml(text)) < release.config_version
    if name == "cri":
        carried_over = carried_over and version_of(read_toml(text)) < 2
    return name == IMAGES or carried_over
