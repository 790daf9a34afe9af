"""Registries on real sockets with scripted behaviour, to compare real clients with their models.

:class:`~harness.nodes.models.simulated_network.SimulatedNetwork` answers here as it does for the
model, so that only the client can cause a difference.
"""
