"""What a file is, by its name and its first lines."""

from __future__ import annotations

import re

from harness.lint.rule import Kind

__all__ = ["is_candidate", "kind_of"]

_SUFFIXES = (".toml", ".yml", ".yaml", ".json", ".conf", ".dockerconfigjson", ".dockercfg")
_NAMES = {"htpasswd", ".htpasswd"}
_COMPOSE = re.compile(r"(?:docker-)?compose(?:[.-][\w.-]+)?\.ya?ml")
_MANIFEST = re.compile(r"""^\s*["']?apiVersion["']?\s*:""", re.MULTILINE)
_REGISTRY = re.compile(r"^(?:version:\s*['\"]?0\.\d|storage:|proxy:\s*$|http:\s*$)", re.MULTILINE)
_SERVICES = re.compile(r"^services:", re.MULTILINE)
_CONTAINERD = re.compile(
    r"^\s*\[+\s*(?:plugins|grpc|debug|metrics|cgroup|timeouts)\b", re.MULTILINE
)
_HOSTS = re.compile(r"^\s*(?:\[\s*host\b|server\s*=)", re.MULTILINE)
_REGISTRIES = re.compile(r"^\s*(?:\[\[?\s*registr|unqualified-search-registries)", re.MULTILINE)
_AUTHS = re.compile(r'"(?:auths|credHelpers|credsStore)"\s*:')
_DAEMON = re.compile(r'"(?:registry-mirrors?|insecure-registr(?:y|ies))"\s*:')


def is_candidate(name: str) -> bool:
    """Whether a file met in a directory is worth opening."""
    return name in _NAMES or name.endswith(_SUFFIXES)


def kind_of(path: str, text: str) -> Kind | None:
    """What the file at *path* with *text* is; None for none of lint's."""
    parts = path.split("/")
    name = parts[-1]
    if name in _NAMES:
        return Kind.HTPASSWD
    if name == "registries.conf" or "registries.conf.d" in parts[:-1]:
        return Kind.REGISTRIES
    if name.endswith(".toml"):
        return _toml(name, text)
    if name.endswith((".yml", ".yaml")):
        return _yaml(name, text)
    if name.endswith((".json", ".dockerconfigjson", ".dockercfg")):
        return _json(name, text)
    if name.endswith(".conf") and _REGISTRIES.search(text):
        return Kind.REGISTRIES
    return None


def _toml(name: str, text: str) -> Kind | None:
    if name == "hosts.toml":
        return Kind.HOSTS
    if name == "config.toml" or _CONTAINERD.search(text):
        return Kind.CONTAINERD
    return Kind.HOSTS if _HOSTS.search(text) else None


def _yaml(name: str, text: str) -> Kind | None:
    if _MANIFEST.search(text):
        return Kind.KUBERNETES
    if _COMPOSE.fullmatch(name):
        return Kind.COMPOSE
    if _REGISTRY.search(text) and not _SERVICES.search(text):
        return Kind.REGISTRY
    return Kind.COMPOSE if _SERVICES.search(text) else None


def _json(name: str, text: str) -> Kind | None:
    if name == "daemon.json":
        return Kind.DAEMON
    if name.startswith("scheduler-state"):
        return Kind.SCHEDULE
    if _AUTHS.search(text) or name.endswith((".dockerconfigjson", ".dockercfg")):
        return Kind.LOGINS
    if _MANIFEST.search(text) or re.search(r'"apiVersion"\s*:', text):
        return Kind.KUBERNETES
    return Kind.DAEMON if _DAEMON.search(text) else None
