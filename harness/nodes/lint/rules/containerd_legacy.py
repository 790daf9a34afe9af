"""config.toml: registry.mirrors and registry.configs.HOST.tls, which hosts.toml replaced."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules
from harness.nodes.lint.rules.containerd import config_path_of, registries

__all__ = ["rules"]

rules = Rules(Kind.CONTAINERD)

_DOCS = "containerd docs/cri/registry.md"


@rules("PPT001", "error")
def path_and_mirrors(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """config_path together with mirrors.

    why: the CRI plugin does not load: kubelet reports unknown service runtime.v1
    fix: move the mirrors to certs.d and remove them here
    source: containerd docs/cri/registry.md; measured on 1.6.20, 1.7.24, 2.1.9
    """
    for section in registries(file):
        if config_path_of(file, section) and file.table(*section, "mirrors"):
            yield Hit(file.at(*section, "mirrors"), "mirrors cannot be set beside config_path")


@rules("PPT002", "error", by="containerd")
def legacy_tls(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """configs.HOST.tls.

    why: with config_path, the CRI plugin of 1.x does not load; 2.x ignores the section
    fix: set ca, client and skip_verify in hosts.toml
    source: containerd docs/cri/registry.md; removed in containerd 2.0
    """
    for section in registries(file):
        for host, values in file.table(*section, "configs").items():
            if not isinstance(values, dict) or "tls" not in values:
                continue
            spot = file.at(*section, "configs", host, "tls")
            if not context.containerd.legacy_tls:
                yield Hit(spot, f"tls of {quoted(host)} has no effect")
            elif config_path_of(file, section):
                yield Hit(spot, f"tls of {quoted(host)} cannot be set beside config_path")


@rules("PPT011", "info")
def deprecated_mirrors(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Deprecated mirrors section.

    why: deprecated since 1.5, read only at startup, and without the settings of hosts.toml
    fix: write hosts.toml files and set config_path
    source: containerd docs/cri/registry.md
    """
    for section in registries(file):
        if file.table(*section, "mirrors") and not config_path_of(file, section):
            yield Hit(file.at(*section, "mirrors"), "mirrors is deprecated")


@rules("PPT015", "error")
def endpoint_without_scheme(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Mirror endpoint without a scheme.

    why: an endpoint is a URL: without a scheme, requests fail
    fix: add http:// or https://
    source: containerd docs/cri/registry.md
    """
    for section in registries(file):
        for name in file.table(*section, "mirrors"):
            endpoints = file.get(*section, "mirrors", name, "endpoint")
            for url in endpoints if isinstance(endpoints, list) else ():
                if isinstance(url, str) and "://" not in url:
                    where = (*section, "mirrors", name, "endpoint")
                    yield Hit(file.at(*where), f"{quoted(url)} has no scheme")
