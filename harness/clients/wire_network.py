"""Sends a modelled client's requests over real sockets.

A model uses the host names of its files (``registry.example``); here each name leads to a registry
on loopback, so that a modelled pull can run against a cache under test and its upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from harness.http.client import RegistryClient
from harness.nodes.models.network import (
    ClientRequest,
    ClientResponse,
    Failure,
    Trust,
)


class WireNetwork:
    """Sends requests for the hosts of *clients* over plain HTTP, since the model handles TLS; any
    other name does not resolve. Implements :class:`harness.nodes.models.network.Network`."""

    def __init__(self, clients: Mapping[str, RegistryClient]) -> None:
        self._clients = clients

    def exchange(self, request: ClientRequest, trust: Trust) -> ClientResponse | Failure:
        """The registry's answer, or why there is none."""
        client = self._clients.get(request.host)
        if client is None:
            return Failure.UNRESOLVED
        query = f"?{urlencode(request.query)}" if request.query else ""
        answer = client.request(
            request.method,
            f"{request.path}{query}",
            headers={name: ", ".join(values) for name, values in request.headers.items()},
            content=urlencode(request.form).encode() if request.form else None,
        )
        if answer.status is None:
            refused = answer.error is not None and "refused" in answer.error
            return Failure.REFUSED if refused else Failure.RESET
        length = answer.headers.get("Content-Length")
        return ClientResponse(
            answer.status,
            {name: tuple(answer.headers.get_list(name)) for name in answer.headers},
            answer.body,
            int(length) if length is not None else None,
            cut=answer.error is not None,
        )
