"""Trusted authorities and client certificates, read from files as containerd reads them.

A missing or invalid file fails the pull before any request, even if other hosts need no
certificate.
"""

from __future__ import annotations

import base64
import binascii
import re

from harness.nodes.models.containerd.config_toml import EndpointTLS
from harness.nodes.models.containerd.hosts_toml import HostEntry
from harness.nodes.models.containerd.plan import refuse
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.files import FileTree
from harness.nodes.models.network import Trust

__all__ = ["TrustReader", "certificates", "key_pair_problem"]


_BLOCK = re.compile(
    r"-----BEGIN ([A-Z0-9 ]{1,64})-----\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----", re.ASCII
)
_ASN1_SEQUENCE = b"\x30"


def certificates(text: str) -> frozenset[bytes]:
    """The DER content of every certificate in *text* that Go would load."""
    return frozenset(
        content
        for label, content in _blocks(text)
        if label == "CERTIFICATE" and content.startswith(_ASN1_SEQUENCE)
    )


def key_pair_problem(certificate: str, key: str) -> str | None:
    """The error of tls.X509KeyPair for a *certificate* and a *key* file, or None."""
    labels = [label for label, _ in _blocks(certificate)]
    if "CERTIFICATE" not in labels:
        if not labels:
            return "tls: failed to find any PEM data in certificate input"
        if len(labels) == 1 and labels[0].endswith("PRIVATE KEY"):
            return (
                "tls: failed to find certificate PEM data in certificate input, but did find a "
                "private key; PEM inputs may have been switched"
            )
        return _skipped('find "CERTIFICATE" PEM block in certificate input', labels)
    labels = [label for label, _ in _blocks(key)]
    if not any(label.endswith("PRIVATE KEY") for label in labels):
        if not labels:
            return "tls: failed to find any PEM data in key input"
        if labels == ["CERTIFICATE"]:
            return "tls: found a certificate rather than a key in the PEM for the private key"
        return _skipped('find PEM block with type ending in "PRIVATE KEY" in key input', labels)
    return None


def _skipped(what: str, labels: list[str]) -> str:
    types = " ".join(labels)
    return f"tls: failed to {what} after skipping PEM blocks of the following types: [{types}]"


def _blocks(text: str) -> list[tuple[str, bytes]]:
    found = []
    for label, encoded in _BLOCK.findall(text):
        try:
            content = base64.b64decode("".join(encoded.split()), validate=True)
        except binascii.Error:
            continue
        found.append((label, content))
    return found


class TrustReader:
    """Reads certificates from *files*. Every method raises ``PullRefused`` if containerd fails."""

    def __init__(self, files: FileTree) -> None:
        self._files = files

    def of_entry(self, entry: HostEntry, default: Trust) -> Trust:
        """The TLS settings of a host in hosts.toml: *default* and those of its entry."""
        authorities = default.authorities
        for path in entry.ca or ():
            authorities |= self._authorities(path)
        shown = [self._client_pair(certificate, key) for certificate, key in entry.client]
        return Trust(
            verify=default.verify if entry.skip_verify is None else not entry.skip_verify,
            system_roots=default.system_roots,
            authorities=authorities,
            client_certificate=next(iter(shown), default.client_certificate),
        )

    def of_flags(self, ctr: Ctr) -> Trust:
        """The TLS settings of ``ctr`` options."""
        shown = None
        if ctr.certificate or ctr.key:
            if not (ctr.certificate and ctr.key):
                refuse("flags --tlscert and --tlskey must be set together")
            shown = self._client_pair(ctr.certificate, ctr.key)
        authorities = frozenset[bytes]()
        if ctr.ca:
            authorities = certificates(self._read(ctr.ca, f'failed to read "{ctr.ca}"'))
            if not authorities:
                refuse(f'failed to load TLS CAs from "{ctr.ca}": invalid data')
        return Trust(not ctr.skip_verify, not ctr.ca, authorities, shown)

    def of_endpoint(self, tls: EndpointTLS) -> Trust:
        """The TLS settings of ``registry.configs.HOST.tls``."""
        shown = None
        if bool(tls.cert_file) != bool(tls.key_file):
            given, missing = ("cert", "key") if tls.cert_file else ("key", "cert")
            refuse(
                f'{given} file "{tls.cert_file or tls.key_file}" was specified, but no '
                f"corresponding {missing} file was specified"
            )
        if tls.cert_file:
            shown = self._client_pair(tls.cert_file, tls.key_file)
        authorities = frozenset[bytes]()
        if tls.ca_file:
            # A file without certificates is accepted here, unlike in hosts.toml.
            authorities = certificates(self._read(tls.ca_file, "failed to load CA file"))
        return Trust(not tls.skip_verify, True, authorities, shown)

    def _authorities(self, path: str) -> frozenset[bytes]:
        found = certificates(self._read(path, f'unable to read CA cert "{path}"'))
        if not found:
            refuse(f'unable to load CA cert "{path}"')
        return found

    def _client_pair(self, certificate: str, key: str | None) -> str:
        """The certificate's path, after checking both files."""
        public = self._read(certificate, f'unable to read CERT file "{certificate}"')
        secret = public if key is None else self._read(key, f'unable to read CERT file "{key}"')
        problem = key_pair_problem(public, secret)
        if problem is not None:
            refuse(f"failed to load X509 key pair: {problem}")
        return certificate

    def _read(self, path: str, complaint: str) -> str:
        try:
            return self._files.read(path)
        except FileNotFoundError:
            refuse(f"{complaint}: open {path}: no such file or directory")
        except IsADirectoryError:
            refuse(f"{complaint}: read {path}: is a directory")
        except NotADirectoryError:
            refuse(f"{complaint}: open {path}: not a directory")
