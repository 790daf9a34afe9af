"""Container clients: their requests in order, and drivers of the real programs.

Modules without a real program drive a :class:`harness.http.client.RegistryClient` through one
client's requests.
"""
