"""The rules, a module for each kind of file, imported where there is such a file."""

from __future__ import annotations

from collections.abc import Mapping

from harness.nodes.lint.rule import Kind

__all__ = ["MODULES"]

MODULES: Mapping[str, tuple[Kind, ...]] = {
    "compose": (Kind.COMPOSE,),
    "config_effect": (Kind.REGISTRY,),
    "config_files": (Kind.REGISTRY, Kind.HTPASSWD, Kind.SCHEDULE),
    "config_sections": (Kind.REGISTRY,),
    "config_syntax": (Kind.REGISTRY,),
    "containerd": (Kind.CONTAINERD,),
    "containerd_legacy": (Kind.CONTAINERD,),
    "containerd_logins": (Kind.CONTAINERD,),
    "daemon": (Kind.DAEMON,),
    "hosts_directory": (Kind.DIRECTORY,),
    "hosts_file": (Kind.HOSTS,),
    "hosts_keys": (Kind.HOSTS,),
    "hosts_meaning": (Kind.HOSTS,),
    "hosts_tls": (Kind.HOSTS,),
    "input": (Kind.INPUT,),
    "kubernetes": (Kind.KUBERNETES,),
    "login_keys": (Kind.LOGINS, Kind.KUBERNETES),
    "logins": (Kind.LOGINS, Kind.KUBERNETES),
    "ports": (Kind.KUBERNETES, Kind.COMPOSE),
    "registries_conf": (Kind.REGISTRIES,),
    "registries_meaning": (Kind.REGISTRIES,),
    "registry_containers": (Kind.KUBERNETES, Kind.COMPOSE),
    "registry_running": (Kind.KUBERNETES, Kind.COMPOSE),
    "secrets": (Kind.KUBERNETES, Kind.LOGINS),
}
"""Module to the kinds of files that it has rules for."""
