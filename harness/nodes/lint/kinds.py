"""The kinds of files, and how to recognize them by name and content."""

from __future__ import annotations

import re
from enum import StrEnum


class Kind(StrEnum):
    """What a file is."""

    REGISTRY = "config.yml"
    HOSTS = "hosts.toml"
    CONTAINERD = "config.toml"
    DAEMON = "daemon.json"
    REGISTRIES = "registries.conf"
    LOGINS = "config.json"
    KUBERNETES = "Kubernetes manifest"
    COMPOSE = "compose.yml"
    HTPASSWD = "htpasswd"
    SCHEDULE = "scheduler-state.json"
    DIRECTORY = "certs.d directory"
    INPUT = "any file"


_SUFFIXES = (".toml", ".yml", ".yaml", ".json", ".conf", ".dockerconfigjson", ".dockercfg")
_NAMES = {"htpasswd", ".htpasswd"}
_COMPOSE = re.compile(r"(?:[\w-]+\.)?(?:docker-|podman-)?compose(?:[.-][\w.-]+)?\.ya?ml")
_TOP = re.compile(r"""^["']?([\w.-]+)["']?[ \t]*:""", re.MULTILINE)
"""Top-level keys of a YAML document in block style."""
_JSON_MANIFEST = re.compile(r"""\s*\{[^{}\[\]]*["']?apiVersion["']?\s*:""")
_TEMPLATE = re.compile(r"^[ \t-]*\{\{|:[ \t]+\{\{", re.MULTILINE)
"""Template syntax, of Helm for instance, that is not YAML yet."""
_VERSION = re.compile(r"""^version:[ \t]*['"]?0\.\d['"]?[ \t\r]*(?:#.*)?$""", re.MULTILINE)
_SERVICE = re.compile(r"^[ \t]+(?:image|build)[ \t]*:", re.MULTILINE)
_SECTIONS = frozenset({"storage", "http", "proxy", "auth", "log", "health", "redis"})
_FOREIGN = frozenset({"jobs", "stages", "workflows", "pipelines", "steps", "on", "include"})
"""Keys of CI workflows, which have services with images too."""
_CONTAINERD = re.compile(
    r"""^[ \t]*\[+\s*(?:plugins\s*\.\s*["']?(?:io\.containerd|cri)\b|(?:grpc|ttrpc|debug)\s*\])""",
    re.MULTILINE,
)
_HOSTS = re.compile(
    r"""^[ \t]*\[\s*host\s*(?:\]|\.\s*["'])|^server\s*=\s*["']https?://""", re.MULTILINE
)
_REGISTRIES = re.compile(
    r"^[ \t]*(?:\[\[?\s*registr|unqualified-search-registries|short-name-mode)", re.MULTILINE
)
_AUTHS = re.compile(r'"(?:auths|credHelpers|credsStore)"\s*:')
_DAEMON = re.compile(r'"(?:registry-mirrors?|insecure-registr(?:y|ies))"\s*:')


def is_candidate(name: str) -> bool:
    """Whether to open a file that was found in a directory."""
    return name in _NAMES or name.endswith(_SUFFIXES)


def kind_of(path: str, text: str) -> Kind | None:
    """The kind of the file at *path* with *text*; None if lint does not support it."""
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
    if name.endswith(".conf") and (_REGISTRIES.search(text) or "shortnames" in name):
        return Kind.REGISTRIES
    return None


def _toml(name: str, text: str) -> Kind | None:
    if name == "hosts.toml":
        return Kind.HOSTS
    if name == "config.toml" or _CONTAINERD.search(text):
        return Kind.CONTAINERD
    return Kind.HOSTS if _HOSTS.search(text) else None


def _yaml(name: str, text: str) -> Kind | None:
    top = set(_TOP.findall(text))
    if name.startswith("values"):
        return None  # of a chart
    if ("apiVersion" in top and ("kind" in top or "version" not in top)) or _JSON_MANIFEST.match(
        text
    ):
        return None if _TEMPLATE.search(text) else Kind.KUBERNETES
    if _COMPOSE.fullmatch(name):
        return Kind.COMPOSE
    if "services" in top:
        return Kind.COMPOSE if _SERVICE.search(text) and not top & _FOREIGN else None
    return Kind.REGISTRY if _is_registry(name, text, top) else None


def _is_registry(name: str, text: str, top: set[str]) -> bool:
    """By version and sections; with a matching file name, one of the two is enough."""
    sections = top & _SECTIONS
    if name.startswith("config") or "registry" in name:
        return bool(_VERSION.search(text)) or "storage" in top or {"proxy", "http"} <= top
    return bool(_VERSION.search(text)) and bool(sections)


def _json(name: str, text: str) -> Kind | None:
    if name == "daemon.json":
        return Kind.DAEMON
    if name.startswith("scheduler-state"):
        return Kind.SCHEDULE
    if _JSON_MANIFEST.match(text):
        return Kind.KUBERNETES
    if _AUTHS.search(text) or name.endswith((".dockerconfigjson", ".dockercfg")):
        return Kind.LOGINS
    return Kind.DAEMON if _DAEMON.search(text) else None
