"""Which of config.toml's registry sections count: three names of the CRI plugin, by version.

Rules as in :mod:`~harness.mirrors.containerd.config_files`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.nodes.models.containerd.config_files import GRPC_CRI, IMAGES, Configuration, version_of
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.toml_statements import read_toml, statements

__all__ = ["is_read", "registry_sections", "section_line"]

_NAMES = ("cri", GRPC_CRI, IMAGES)


def registry_sections(text: str) -> Sequence[str]:
    """The plugin's names under which the valid file *text* has registry settings."""
    plugins = read_toml(text).get("plugins", {})
    return [n for n in _NAMES if isinstance(plugins.get(n), dict) and plugins[n].get("registry")]


def section_line(text: str, name: str) -> int | None:
    """The line of *text* with which the section begins."""
    return next((s.line for s in statements(text) if s.path[:2] == ("plugins", name)), None)


def is_read(name: str, text: str, configuration: Configuration, release: Release) -> bool:
    """Whether the section *name* of the file *text*, one of *configuration*, is looked at."""
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
