"""The world in which a measured case is set: names, addresses, certificates, and one image.

Cases speak in placeholders such as ``{m1}`` or ``{digest}``; a :class:`World` gives them values, so
that one case can be set in many worlds.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from harness.content import Manifest, an_image, an_index

__all__ = [
    "CERTS_D",
    "HUB_HOSTS",
    "NAMED_HOSTS",
    "TRUSTED_AUTHORITY",
    "UNTRUSTED_AUTHORITY",
    "World",
]

NAMED_HOSTS = ("m1", "m2", "m3", "up", "tok")
HUB_HOSTS = {"dh": "registry-1.docker.io", "dio": "docker.io"}
CERTS_D = "/test/certs.d"
OTHER_CERTS_D = "/test/certs2.d"
CERTIFICATES = "/test/certificates"

TRUSTED_AUTHORITY = b"0 trusted authority"
UNTRUSTED_AUTHORITY = b"0 untrusted authority"


def _pem(label: str, content: bytes) -> str:
    encoded = base64.b64encode(content).decode()
    return f"-----BEGIN {label}-----\n{encoded}\n-----END {label}-----\n"


_CLIENT = _pem("CERTIFICATE", b"0 client")
_KEY = _pem("PRIVATE KEY", b"0 client's key")
CERTIFICATE_FILES = {
    f"{CERTIFICATES}/trustedca.crt": _pem("CERTIFICATE", TRUSTED_AUTHORITY),
    f"{CERTIFICATES}/untrustedca.crt": _pem("CERTIFICATE", UNTRUSTED_AUTHORITY),
    f"{CERTIFICATES}/client.crt": _CLIENT,
    f"{CERTIFICATES}/client.key": _KEY,
    f"{CERTIFICATES}/client.pem": _CLIENT + _KEY,
}

_ENCODED_PORT = re.compile(r"(%3A|%!A\(MISSING\))5000")
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.]+)\}")


@cache
def _image(kind: str) -> Manifest:
    single = an_image(layers=1)
    return an_index(single) if kind == "index" else single


@dataclass(frozen=True)
class World:
    """Names and ports for the hosts of a case, and the repository that it pulls."""

    names: tuple[tuple[str, str, int], ...] = (
        ("m1", "m1.test", 5001),
        ("m2", "m2.test", 5002),
        ("m3", "m3.test", 5003),
        ("up", "up.test", 5000),
        ("tok", "tok.test", 5009),
    )
    repository: str = "team/app"
    image_kind: str = "image"

    @property
    def image(self) -> Manifest:
        """What the tag means."""
        return _image(self.image_kind)

    @cached_property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        """How URLs may name each logical host."""
        named = {
            host: (f"{name}:{port}", name, f"127.0.0.{number}:{port}", f"127.0.0.{number}")
            for number, (host, name, port) in enumerate(self.names, 11)
        }
        return named | {host: (name,) for host, name in HUB_HOSTS.items()}

    @cached_property
    def values(self) -> dict[str, str]:
        """Every placeholder and what it stands for."""
        values: dict[str, str] = {}
        for host, (address, name, ip, ip_address) in (
            (host, names) for host, names in self.addresses.items() if len(names) == 4
        ):
            values |= {
                host: address,
                f"{host}.name": name,
                f"{host}.ip": ip,
                f"{host}.addr": ip_address,
                f"{host}_": f"{address.replace(':', '_')}_",
            }
        for host, name in HUB_HOSTS.items():
            values |= {host: name, f"{host}.name": name}
        single = self.image.children[0] if self.image.children else self.image
        config, layer = single.blobs
        return values | {
            "digest": self.image.digest,
            "manifest": single.digest,
            "index": self.image.digest,
            "config": config.digest,
            "layer": layer.digest,
            "zero": "sha256:" + "0" * 64,
            "certdir": CERTIFICATES,
            "certs.d": CERTS_D,
            "certs2.d": OTHER_CERTS_D,
        }

    def fill(self, value: Any) -> Any:
        """*value* with every placeholder in it replaced, at any depth."""
        if isinstance(value, str):
            filled = _PLACEHOLDER.sub(lambda match: self.values.get(match[1], match[0]), value)
            # The port of {up} stands literally in the messages, after a percent-encoded colon.
            port = self.values["up"].rpartition(":")[2]
            filled = _ENCODED_PORT.sub(rf"\g<1>{port}", filled)
            return filled.replace("team/app", self.repository)
        if isinstance(value, Mapping):
            return {self.fill(key): self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value

    def host_at(self, address: str) -> str:
        """The logical host that a URL names *address*; the address itself if there is none."""
        bare = address.rpartition(":")[0] if ":" in address else address
        for host, addresses in self.addresses.items():
            if address in addresses or bare in addresses:
                return host
        return address
