"""One address at which mock upstreams answer one after another, for a registry that runs already.

Such a registry outlives each test, and may still ask for names of an earlier test or of another
user. Only names of the attached test reach its upstream; the gateway answers all others itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from harness.content import Blob, Manifest
from harness.http.namespace import Namespace
from harness.system.loop import lab_loop
from harness.upstream.calls import Call, route
from harness.upstream.connection import Connection, Listener
from harness.upstream.ledger import Entry
from harness.upstream.replies import Body, Reply
from harness.upstream.service import Choice, Service

__all__ = ["Gateway"]


class Gateway:
    """Listens on *host* and *port*, and serves the content of :meth:`add` until an upstream is
    attached."""

    def __init__(self, host: str, port: int) -> None:
        self._own = Service()
        self._attached: tuple[Service, Namespace] | None = None
        self.listener = Listener(self._serve, host, port)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def open(self) -> None:
        """Listen. ``OSError`` if the address is in use."""
        lab_loop().run(self.listener.start())

    def close(self) -> None:
        """Stop listening. Does nothing if it is not open."""
        lab_loop().run(self.listener.stop())

    def add(self, repository: str, content: Manifest, tag: str) -> None:
        """Put *content* into the gateway itself."""
        self._own.store.add(repository, content, (tag,))

    def attach(self, service: Service, names: Namespace) -> None:
        """Let *service* answer for the repositories of *names*, and for paths without a
        repository."""
        self._attached = (service, names)

    @property
    def asked(self) -> tuple[Entry, ...]:
        """The requests that the gateway has answered itself."""
        return self._own.ledger.entries

    @property
    def known_as(self) -> str:
        """Host and port as the last client calls it, or else :attr:`address`."""
        last = next(reversed(self.asked), None)
        return (last and last.header("host")) or self.address

    async def _serve(self, connection: Connection) -> None:
        await self._own.serve(connection, self._choose)

    def _choose(self, call: Call) -> Choice:
        if self._attached is None:
            return self._own, call, _as_it_is
        service, names = self._attached
        if call.repository is None:
            return service, call, _as_it_is
        path = names.behind(call.path)
        if path is None:
            return self._own, call, _as_it_is
        target = f"{path}?{call.query}" if call.query else path
        call_there = route(call.method, target, call.headers, call.body)
        return service, call_there, self._named(call, names)

    def _named(self, call: Call, names: Namespace) -> Callable[[Reply], Reply]:
        """Answers to *call* have repository names as the client asked for them."""
        here = f"//{self.known_as}/v2/"

        def named(reply: Reply) -> Reply:
            if link := reply.header("link"):
                reply = reply.with_headers({"Link": link.replace("/v2/", f"/v2/{names.own}/", 1)})
            if location := reply.header("location"):
                there = location.replace(here, f"{here}{names.own}/", 1)
                reply = reply.with_headers({"Location": there})
            if call.kind == "tags" and reply.status == 200:
                listed = json.loads(b"".join(reply.body.chunks(0, reply.body.size)))
                whole = json.dumps(listed | {"name": call.repository}, separators=(",", ":"))
                body = Body(Blob(whole.encode()))
                reply = replace(reply, body=body).with_headers({"Content-Length": str(body.size)})
            return reply

        return named


def _as_it_is(reply: Reply) -> Reply:
    return reply
