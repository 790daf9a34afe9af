"""Clients that stand between an image's name and its bytes, as models that contact nothing.

``containerd`` and ``containers`` (skopeo, podman) turn configuration files into a plan, and a plan
and the behaviour of hosts (``behaviours``, answered by ``simulated_network``) into every request;
``kubelet`` chooses the credentials. The other modules are what they share.
"""
