"""The ``certs.d`` tree: which directory belongs to a registry, its content, and certificate files.

Lookup order and the use of certificate files without a hosts.toml:
https://github.com/containerd/containerd/blob/main/docs/hosts.md
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.nodes.models.containerd.config_toml import EndpointTLS
from harness.nodes.models.containerd.hosts_toml import (
    DaemonPanics,
    HostEntry,
    HostsFile,
    InvalidHostsFile,
    parse_hosts_toml,
)
from harness.nodes.models.containerd.plan import PullRefused
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.files import FileProblem, FileTree
from harness.nodes.models.go_url import join_path
from harness.nodes.models.network import Trust


@dataclass(frozen=True)
class HostDirectory:
    """The hosts directory of one registry."""

    path: str | None = None
    """The directory that is used; None if there is none."""
    hosts: HostsFile | None = None
    """Its hosts; None if it has none, so that the registry itself is the only host."""
    source: str | None = None
    """The hosts.toml that was read, if it was valid."""
    tried: tuple[str, ...] = ()
    """Every directory that was checked, in order, up to the one that exists."""
    findings: tuple[FileProblem, ...] = ()


def directory_names(namespace: str) -> tuple[str, ...]:
    """The names a registry's directory may have, best first: for ``reg:5000`` they are
    ``reg_5000_``, ``reg:5000`` and ``_default``."""
    name, colon, port = namespace.rpartition(":")
    spelled = (f"{name}_{port}_",) if colon and name else ()
    return (*spelled, namespace, "_default")


def read_host_directory(
    files: FileTree, roots: Sequence[str], namespace: str, release: Release
) -> HostDirectory:
    """The first existing directory for *namespace* in *roots*, and the hosts it names.

    Raises :class:`PullRefused` if the pull fails at once.
    """
    tried: list[str] = []
    for root in roots:
        for name in directory_names(namespace):
            path = join_path(root, name)
            tried.append(path)
            if files.kind(path) is not None:
                return _read(files, path, release, tuple(tried))
    return HostDirectory(tried=tuple(tried))


def _read(
    files: FileTree, directory: str, release: Release, tried: tuple[str, ...]
) -> HostDirectory:
    file = join_path(directory, "hosts.toml")
    findings: tuple[FileProblem, ...] = ()
    try:
        text = files.read(file)
        if text:
            hosts = parse_hosts_toml(text, directory, release)
            return HostDirectory(directory, hosts, file, tried, tuple(_remarks(hosts, file)))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise PullRefused(str(error)) from None
    except DaemonPanics as error:
        raise PullRefused(f"containerd panics on {file}: {error.reason}") from None
    except InvalidHostsFile as error:
        findings = (FileProblem(f"the whole file is ignored: {error.reason}", error.line, file),)
    return HostDirectory(directory, _lone_certificates(files, directory), None, tried, findings)


def _remarks(hosts: HostsFile, file: str) -> Iterator[FileProblem]:
    for url in hosts.unseen:
        text = f"host {url} is ignored: write it as a table header [host.{url!r}]"
        yield FileProblem(text, None, file)
    if hosts.unordered:
        text = f"{hosts.unordered} hosts are inline tables: their order is random at every lookup"
        yield FileProblem(text, None, file)


def _lone_certificates(files: FileTree, directory: str) -> HostsFile | None:
    """Docker's layout: ``*.crt`` are authorities, ``*.cert`` with ``*.key`` client pairs."""
    names = [n for n in files.names(directory) if files.kind(f"{directory}/{n}") == "file"]
    authorities = tuple(join_path(directory, name) for name in names if name.endswith(".crt"))
    pairs: list[tuple[str, str | None]] = []
    for name in names:
        if name.endswith(".cert"):
            key = join_path(directory, name.removesuffix(".cert") + ".key")
            has_key = files.kind(key) is not None
            pairs.append((join_path(directory, name), key if has_key else None))
    if not authorities and not pairs:
        return None
    return HostsFile((HostEntry(ca=authorities or None, client=tuple(pairs)),))


# -- certificate files --------------------------------------------------------------------------
_BLOCK = re.compile(
    r"-----BEGIN ([A-Z0-9 ]{1,64})-----\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----", re.ASCII
)
_ASN1_SEQUENCE = b"\x30"


def _certificates(text: str) -> frozenset[bytes]:
    """The DER content of every certificate in *text* that Go would load."""
    return frozenset(
        content
        for label, content in _blocks(text)
        if label == "CERTIFICATE" and content.startswith(_ASN1_SEQUENCE)
    )


def _key_pair_problem(certificate: str, key: str) -> str | None:
    """The error of tls.X509KeyPair for a *certificate* and a *key* file, or None."""
    for text, fitting, wanted, what in (
        (certificate, r"CERTIFICATE", 'find "CERTIFICATE" PEM block in certificate', "certificate"),
        (key, r".*PRIVATE KEY", 'find PEM block with type ending in "PRIVATE KEY" in key', "key"),
    ):
        labels = [label for label, _ in _blocks(text)]
        if any(re.fullmatch(fitting, label) for label in labels):
            continue
        if not labels:
            return f"tls: failed to find any PEM data in {what} input"
        if labels == ["CERTIFICATE"]:
            return "tls: found a certificate rather than a key in the PEM for the private key"
        if len(labels) == 1 and labels[0].endswith("PRIVATE KEY"):
            return (
                "tls: failed to find certificate PEM data in certificate input, but did find a "
                "private key; PEM inputs may have been switched"
            )
        skipped = f"after skipping PEM blocks of the following types: [{' '.join(labels)}]"
        return f"tls: failed to {wanted} input {skipped}"
    return None


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
    """Reads trusted authorities and client certificates from *files*.

    A missing or invalid file fails the pull, even if other hosts need no
    certificate: every method raises ``PullRefused``.
    """

    def __init__(self, files: FileTree) -> None:
        self._files = files

    def of_entry(self, entry: HostEntry, default: Trust) -> Trust:
        """The TLS settings of a host in hosts.toml: *default* and those of its entry."""
        authorities = default.authorities
        for path in entry.ca or ():
            found = _certificates(self._read(path, f'unable to read CA cert "{path}"'))
            if not found:
                raise PullRefused(f'unable to load CA cert "{path}"')
            authorities |= found
        shown = [self._client_pair(certificate, key) for certificate, key in entry.client]
        return Trust(
            verify=default.verify if entry.skip_verify is None else not entry.skip_verify,
            system_roots=default.system_roots,
            authorities=authorities,
            client_certificate=next(iter(shown), default.client_certificate),
        )

    def of_flags(self, ctr: Ctr) -> Trust:
        """The TLS settings of ``ctr`` options."""
        ca, certificate, key = map(ctr.flags.get, ("tlscacert", "tlscert", "tlskey"))
        if bool(certificate) != bool(key):
            raise PullRefused("flags --tlscert and --tlskey must be set together")
        authorities = frozenset[bytes]()
        shown = self._client_pair(certificate, key) if certificate else None
        if ca:
            authorities = _certificates(self._read(ca, f'failed to read "{ca}"'))
            if not authorities:
                raise PullRefused(f'failed to load TLS CAs from "{ca}": invalid data')
        return Trust("skip-verify" not in ctr.flags, not ca, authorities, shown)

    def of_endpoint(self, tls: EndpointTLS) -> Trust:
        """The TLS settings of ``registry.configs.HOST.tls``."""
        if bool(tls.cert_file) != bool(tls.key_file):
            given, missing = ("cert", "key") if tls.cert_file else ("key", "cert")
            named = f'{given} file "{tls.cert_file or tls.key_file}" was specified'
            raise PullRefused(f"{named}, but no corresponding {missing} file was specified")
        shown = self._client_pair(tls.cert_file, tls.key_file) if tls.cert_file else None
        authorities = frozenset[bytes]()
        if tls.ca_file:
            # A file without certificates is accepted here, unlike in hosts.toml.
            authorities = _certificates(self._read(tls.ca_file, "failed to load CA file"))
        return Trust(not tls.skip_verify, True, authorities, shown)

    def _client_pair(self, certificate: str, key: str | None) -> str:
        """The certificate's path, after checking both files."""
        public = self._read(certificate, f'unable to read CERT file "{certificate}"')
        secret = public if key is None else self._read(key, f'unable to read CERT file "{key}"')
        problem = _key_pair_problem(public, secret)
        if problem is not None:
            raise PullRefused(f"failed to load X509 key pair: {problem}")
        return certificate

    def _read(self, path: str, complaint: str) -> str:
        try:
            return self._files.read(path)
        except OSError as error:
            raise PullRefused(f"{complaint}: {error}") from None
