"""containerd: the hosts it contacts for an image, in order, with credentials and reasons.

Files alone give the plan; the behaviour of hosts gives the pull::

    plan = resolve_plan(
        "docker.io/library/nginx:1.27",
        {"docker.io/hosts.toml": '[host."https://mirror.example"]'},
        release="1.7.24",
    )
    [host.name for host in plan.resolve]      # ["mirror.example", "registry-1.docker.io"]

    pull = simulate(plan, {"mirror.example": HostBehaviour(down=True)})
    [str(a.host) for a in pull.received]      # every request that reached a server
    pull.error                                # the error the user sees, or None

``planning`` makes plans and ``execution`` runs them. Everything is pure: no I/O, no clock.
Behaviours were measured on released daemons; ``releases`` lists them. This module imports nothing,
so that ``pullproof lint`` can read the list of releases without loading the rest.
"""
