"""The client that asks a registry which runs already: by its names there, with what it wants to be
shown, and without changing anything there unless that is allowed."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from harness.http.client import Content, Headers, Login, OpenAnswer, RegistryClient
from harness.http.namespace import Namespace
from harness.targets.access import Access
from harness.targets.errors import NotOffered
from harness.targets.remote_login import RemoteLogin

__all__ = ["RemoteClient"]

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class RemoteClient(RegistryClient):
    """Speaks of ``team/app`` with the test, of the same below *names* with the registry. What
    *access* adds to requests for the registry goes nowhere else, and is not recorded."""

    def __init__(
        self,
        url: str,
        access: Access,
        names: Namespace,
        *,
        where: str,
        tls: ssl.SSLContext,
        login: RemoteLogin,
    ) -> None:
        """*where* is what errors call the registry; *login* may be that of other clients, too."""
        super().__init__(url, secrets=access.secrets(), tls=tls)
        self.names = names
        self._access = access
        self.refuse: Callable[[str, str], str | None] = lambda method, path: None
        """Given a method and a path, why the test cannot ask for that, or None."""
        self._where = where
        self.login = login

    @contextmanager
    def asking_as(self, names: Namespace) -> Iterator[None]:
        """Meanwhile, the repositories are those of *names*."""
        before, self.names = self.names, names
        try:
            yield
        finally:
            self.names = before

    def _build(
        self,
        method: str,
        path: str,
        headers: Headers | None,
        content: Content | None,
        auth: Login | None,
        timeout: float,
    ) -> httpx.Request:
        if method not in _READING and not self._access.allow_writes:
            raise NotOffered(f"{self._where} is not to be changed: {method} needs --allow-writes")
        if reason := self.refuse(method, path):
            raise NotOffered(f"{self._where} {reason}")
        wire = path
        if path.startswith("/"):
            wire = self.names.outward(path)
        elif self._owns(url := httpx.URL(path)):
            wire = self.names.outward(url.raw_path.decode())
        request = super()._build(method, wire, headers, content, auth, timeout)
        request.extensions["test"] = httpx.Headers(request.headers)
        if self._owns(request.url):
            asked = {name.lower() for name in headers or ()}
            for name, value in self._access.headers:
                if name.lower() not in asked:
                    request.headers[name] = value
            if "Authorization" not in request.headers and (
                credential := self.login.authorization(method, wire)
            ):
                request.headers["Authorization"] = credential
        return request

    def _asked(self, request: httpx.Request) -> tuple[str, httpx.Headers]:
        target, _ = super()._asked(request)
        return self.names.inward(target), request.extensions["test"]

    def _told(self, answer: OpenAnswer) -> tuple[httpx.Headers, bytes]:
        headers, body = super()._told(answer)
        headers = httpx.Headers([(n, self.names.inward(v)) for n, v in headers.multi_items()])
        if not self.names.own or self.names.own.encode() not in body:
            return headers, body
        # Latin-1 keeps every byte; no content of ours has a name in it.
        inward = self.names.inward(body.decode("latin-1")).encode("latin-1")
        if headers.get("Content-Length") == str(len(body)):
            headers["Content-Length"] = str(len(inward))
        return headers, inward
