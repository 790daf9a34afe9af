"""Models of container clients: from configuration files to requests, without any I/O.

``containerd``, ``containers`` (skopeo, podman) and ``dockerd`` turn configuration files into a
plan, and a plan with the behaviour of hosts (``behaviours``, ``simulated_network``) into requests.
``kubelet`` chooses credentials. The other modules are shared.
"""
