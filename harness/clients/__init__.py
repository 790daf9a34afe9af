"""What container clients ask of a registry, in which order: for machines without those clients.

Each module drives a :class:`harness.http.client.RegistryClient` through one client's requests.
"""
