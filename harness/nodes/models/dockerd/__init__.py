"""dockerd: for which images it asks its registry mirrors, in which order, and when Docker Hub.

``daemon.json`` gives the endpoints, how hosts behave gives the pull::

    config = read_daemon_json('{"registry-mirrors": ["https://mirror.example"]}')
    [endpoint.host for endpoint in endpoints("nginx", config)]
    simulate("nginx", config, {"mirror.example": HostBehaviour(store=False)}).attempts

Measured on docker 20.10.24. Unlike containerd's, an endpoint serves a pull from the manifest to the
last layer; whatever fails there, the next one begins again.
"""

from harness.nodes.models.dockerd.daemon_json import (
    DaemonConfig,
    InvalidDaemonJson,
    MirrorURL,
    read_daemon_json,
)
from harness.nodes.models.dockerd.endpoints import Endpoint, endpoints
from harness.nodes.models.dockerd.pulling import DockerPull, run, simulate

__all__ = [
    "DaemonConfig",
    "DockerPull",
    "Endpoint",
    "InvalidDaemonJson",
    "MirrorURL",
    "endpoints",
    "read_daemon_json",
    "run",
    "simulate",
]
