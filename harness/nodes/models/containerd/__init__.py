"""containerd: which hosts it asks for an image, in which order, with which credentials, and why.

The files alone give the plan; how hosts behave gives the pull::

    plan = resolve_plan(
        "docker.io/library/nginx:1.27",
        {"docker.io/hosts.toml": '[host."https://mirror.example"]'},
        release="1.7.24",
    )
    [host.name for host in plan.resolve]      # ["mirror.example", "registry-1.docker.io"]

    pull = simulate(plan, {"mirror.example": HostBehaviour(down=True)})
    [str(a.host) for a in pull.received]      # every request that reached a server
    pull.error                                # what the user would read, or None

Everything here is pure: no I/O, no clock. Behaviours are measured on released daemons; see
:mod:`harness.nodes.models.containerd.releases`.
"""

from typing import TYPE_CHECKING

from harness.system.lazy import names_of

if TYPE_CHECKING:
    from harness.nodes.models.containerd.public import *  # noqa: F403 - its __all__ says which
else:
    # lint asks only which releases there are, and must not wait for the rest.
    __getattr__ = names_of(f"{__name__}.public")
