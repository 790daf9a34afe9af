"""Registries on real sockets that behave as data says, for daemons that are compared with a model.

The same :class:`~harness.mirrors.simulated_network.SimulatedNetwork` answers here and in the model,
so that a difference between the two can only come from the client.
"""

from harness.clients.scripted_hosts.certificates import Certificates
from harness.clients.scripted_hosts.hosts import Place, ScriptedHosts
from harness.clients.scripted_hosts.record import Seen

__all__ = ["Certificates", "Place", "ScriptedHosts", "Seen"]
