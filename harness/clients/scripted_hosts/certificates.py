"""Certificates for scripted hosts: of an authority that clients trust, of another, and a client's.

Programs written in Go read ``SSL_CERT_FILE`` instead of the system's certificates
(https://pkg.go.dev/crypto/x509#SystemCertPool), so that nothing on the machine has to change.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from pathlib import Path

from harness.clients.authority import Authority

__all__ = ["Certificates"]


class Certificates:
    """Certificates for servers called *names* (host names and IP addresses), written as files into
    *directory*."""

    def __init__(self, directory: Path, names: Collection[str]) -> None:
        authorities: dict[bool, Authority] = {}
        for trusted, name in ((True, "trusted"), (False, "untrusted")):
            (own := directory / name).mkdir()
            authorities[trusted] = Authority(own, names, f"pullproof {name} authority")
        certificate, key = (path.read_text() for path in authorities[True].issue("client"))
        texts = {trusted: one.certificate.read_text() for trusted, one in authorities.items()}
        self.trusted, self.untrusted = (
            ssl.PEM_cert_to_DER_cert(texts[trusted]) for trusted in (True, False)
        )
        """The authorities, as DER."""
        self.files: Mapping[str, str] = {
            "trustedca.crt": texts[True],
            "untrustedca.crt": texts[False],
            "client.crt": certificate,
            "client.key": key,
            "client.pem": certificate + key,
        }
        """The text of each file by name."""
        for name, text in self.files.items():
            (directory / name).write_text(text)
        self.system_roots = directory / "trustedca.crt"
        """The value of ``SSL_CERT_FILE``."""
        self._contexts: dict[tuple[bool, bool], ssl.SSLContext] = {}
        for trusted, authority in authorities.items():
            self._contexts[trusted, False] = authority.server_context
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.certificate, authority.key_path)
            context.load_verify_locations(cadata=texts[True])
            context.verify_mode = ssl.CERT_REQUIRED
            self._contexts[trusted, True] = context

    def context(self, *, trusted: bool, asks_for_client: bool) -> ssl.SSLContext:
        """The TLS context of a server with a certificate of the trusted or the other authority."""
        return self._contexts[trusted, asks_for_client]
