"""A node whose containerd has a cache as mirror: names, files, and its requests in order."""

from __future__ import annotations

import json

from harness.nodes.models.containerd.plan import ContainerdPull as Pull
from harness.nodes.models.containerd.plan import Plan

SOURCE = "source.example"
MIRROR = "mirror.example:5000"
IMAGE = f"{SOURCE}/team/app:v1"
MIRRORED = {f"{SOURCE}/hosts.toml": f'server = "http://{SOURCE}"\n[host."http://{MIRROR}"]\n'}
CERTS_D = "/etc/containerd/certs.d"
HOSTS_DOC = "containerd docs/hosts.md"
MEASURED = "measured on containerd 1.6.20, 1.7.24, 2.1.9"


def asked(pull: Pull) -> list[str]:
    """``HOST METHOD what STATUS`` for every try, in order."""
    return [f"{a.host} {a.method} {_what(a.path)} {a.status or 'no answer'}" for a in pull.attempts]


def _what(path: str) -> str:
    return "blob" if "/blobs/" in path else "manifest"


def hosts(plan: Plan) -> list[str]:
    """The hosts that resolve a reference, in order."""
    return [host.name for host in plan.resolve]


def config_toml(key: str) -> str:
    """config.toml with the login ``user:secret`` for *key*."""
    return (
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n'
        f'  config_path = "{CERTS_D}"\n'
        f'[plugins."io.containerd.grpc.v1.cri".registry.configs."{key}".auth]\n'
        '  username = "user"\n  password = "secret"\n'
    )


def pull_secret(key: str) -> str:
    """A ``.dockerconfigjson`` with the login ``user:secret`` for *key*."""
    return json.dumps({"auths": {key: {"username": "user", "password": "secret"}}})
