"""skopeo, podman and buildah: where containers/image takes an image from, and what it asks.

``registries.conf`` gives the sources, how hosts behave gives the pull::

    config = read_registries_conf(text)
    [str(source) for source in pull_sources("reg.example/team/app:v1", config)]
    simulate("reg.example/team/app:v1", config, behaviours).attempts

Unlike containerd's, the choice of a mirror is made once, at the manifest: blobs come from there or
not at all. Measured on skopeo 1.9.3. Format:
https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md
"""

from harness.nodes.models.containers.auth_file import AuthFile, InvalidAuthFile, read_auth_file
from harness.nodes.models.containers.execution import CopyError, ImageCopy, simulate
from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    Mirror,
    RegistriesConf,
    Registry,
    read_registries_conf,
)
from harness.nodes.models.containers.sources import PullSource, long_names, pull_sources

__all__ = [
    "AuthFile",
    "CopyError",
    "ImageCopy",
    "InvalidAuthFile",
    "InvalidRegistriesConf",
    "Mirror",
    "PullSource",
    "RegistriesConf",
    "Registry",
    "long_names",
    "pull_sources",
    "read_auth_file",
    "read_registries_conf",
    "simulate",
]
