"""The world of a measured case: names, addresses, certificates and one image.

Cases have placeholders such as ``{m1}`` or ``{digest}``; a :class:`World` gives them values.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any

from harness.content import Manifest, an_image, an_index
from harness.nodes.models.simulated_network import (
    CAPTIVE_PORTAL,
    HostAction,
    HostBehaviour,
    HostChallenge,
    HostRule,
    HostTokenService,
)
from reference_registry.digest import digest_of

NAMED_HOSTS = ("m1", "m2", "m3", "up", "tok")
HUB_HOSTS = {"dh": "registry-1.docker.io", "dio": "docker.io"}
UNTRUSTED_AUTHORITY = b"0 untrusted authority"


def _pem(label: str, content: bytes) -> str:
    encoded = base64.b64encode(content).decode()
    return f"-----BEGIN {label}-----\n{encoded}\n-----END {label}-----\n"


@dataclass(frozen=True)
class Stand:
    """The directories and certificates of a case, and the network of its hosts."""

    certs_d: str
    other_certs_d: str
    certificates: str
    """The directory of ``certificate_files``."""
    certificate_files: Mapping[str, str]
    trusted: bytes
    """The system's authority (DER)."""
    untrusted: bytes
    network: str = "127.0.0"
    """The first three parts of the hosts' addresses."""

    def files(self) -> dict[str, str]:
        """The certificates by absolute path."""
        return {f"{self.certificates}/{n}": text for n, text in self.certificate_files.items()}


_CLIENT = _pem("CERTIFICATE", b"0 client")
_KEY = _pem("PRIVATE KEY", b"0 client's key")
_TRUSTED_AUTHORITY = b"0 trusted authority"
IMAGINED = Stand(
    certs_d="/test/certs.d",
    other_certs_d="/test/certs2.d",
    certificates="/test/certificates",
    certificate_files={
        "trustedca.crt": _pem("CERTIFICATE", _TRUSTED_AUTHORITY),
        "untrustedca.crt": _pem("CERTIFICATE", UNTRUSTED_AUTHORITY),
        "client.crt": _CLIENT,
        "client.key": _KEY,
        "client.pem": _CLIENT + _KEY,
    },
    trusted=_TRUSTED_AUTHORITY,
    untrusted=UNTRUSTED_AUTHORITY,
)
"""For models: these files do not exist."""

_ENCODED_PORT = re.compile(r"(%3A|%!A\(MISSING\))5000")
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.]+)\}")


@cache
def _image(kind: str, seed: str) -> Manifest:
    single = an_image(seed, layers=1)
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
    seed: str = "app"
    """What the image's content is made from."""
    stand: Stand = IMAGINED

    @property
    def image(self) -> Manifest:
        """The image of the tag."""
        return _image(self.image_kind, self.seed)

    @property
    def page(self) -> bytes:
        """The web page of scripted answers. Real clients store it, so each world with a new image
        has a new page, of the same length."""
        if self.stand is IMAGINED:
            return CAPTIVE_PORTAL
        named = hashlib.sha256(self.seed.encode()).hexdigest()
        return CAPTIVE_PORTAL.replace(b"captive portal", named[:14].encode())

    @property
    def note(self) -> str:
        """Added to the messages of scripted answers, which clients may store."""
        return "" if self.stand is IMAGINED else f" ({self.seed})"

    @cached_property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        """The addresses of each logical host in URLs."""
        ip = self.stand.network
        named = {
            host: (f"{name}:{port}", name, f"{ip}.{number}:{port}", f"{ip}.{number}")
            for number, (host, name, port) in enumerate(self.names, 11)
        }
        return named | {host: (name,) for host, name in HUB_HOSTS.items()}

    @cached_property
    def values(self) -> dict[str, str]:
        """The value of every placeholder."""
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
            "html": digest_of(self.page),
            "zero": "sha256:" + "0" * 64,
            "certdir": self.stand.certificates,
            "certs.d": self.stand.certs_d,
            "certs2.d": self.stand.other_certs_d,
        }

    def fill(self, value: Any) -> Any:
        """*value* with every placeholder in it replaced, at any depth."""
        # Messages have the port of {up} literally after an encoded colon.
        port = rf"\g<1>{self.values['up'].rpartition(':')[2]}"

        def finish(text: str) -> str:
            return _ENCODED_PORT.sub(port, text).replace("team/app", self.repository)

        return filled(value, self.values, finish)

    def host_at(self, address: str) -> str:
        """The logical host at *address* in a URL; *address* itself if there is none."""
        bare = address.rpartition(":")[0] if ":" in address else address
        for host, addresses in self.addresses.items():
            if address in addresses or bare in addresses:
                return host
        return address


# -- reading ------------------------------------------------------------------------------------
_ALIASES = {
    "accept_only": "silent",
    "tls": "speaks",
    "client_ca": "wants_client_certificate",
    "cred": "credential",
    "challenge": "lines",
    "post": "post_status",
}


_DIGESTS = {
    "no_digest_header": None,
    "wrong_digest_header": "sha256:" + "0" * 64,
    "bad_digest_header": "sha256:not-a-digest",
}


def behaviour_from(
    document: Mapping[str, Any], authorities: Mapping[str, bytes | None]
) -> HostBehaviour:
    """The behaviour that *document*, in the format of the measured cases, describes.

    *authorities* gives the authority of each ``cert`` name. Raises ``ValueError`` for an unknown
    key, since the model must not ignore a part of a case.
    """
    values = dict(document)
    certificate = values.pop("cert", None)
    challenge = values.pop("auth", None)
    tokens = values.pop("token", None)
    rules = values.pop("rules", ())
    return HostBehaviour(
        **_known(HostBehaviour, values),
        authority=None if certificate is None else authorities[certificate],
        challenge=None if challenge is None else HostChallenge(**_challenge(challenge)),
        tokens=HostTokenService(**_known(HostTokenService, tokens or {})),
        rules=tuple(_rule(rule) for rule in rules),
    )


def _challenge(document: Mapping[str, Any]) -> dict[str, Any]:
    values = _known(HostChallenge, document)
    lines = values.get("lines")
    if lines is not None:
        values["lines"] = (lines,) if isinstance(lines, str) else tuple(lines)
    return values


def _rule(document: Mapping[str, Any]) -> HostRule:
    values = dict(document)
    action, conditions = dict(values.pop("do", {})), _known(HostRule, values.pop("on", {}))
    for name in _DIGESTS.keys() & action:
        del action[name]
        action["headers"] = {"Docker-Content-Digest": _DIGESTS[name]}
    return HostRule(
        HostAction(**_known(HostAction, action)), **conditions, **_known(HostRule, values)
    )


def _known(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    values = {_ALIASES.get(key, key): value for key, value in document.items()}
    unknown = values.keys() - {f.name for f in fields(kind)}
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return values


def filled(value: Any, values: Mapping[str, str], finish: Callable[[str], str] = str) -> Any:
    """*value* with every placeholder of *values* replaced, at any depth; others stay."""
    if isinstance(value, str):
        return finish(_PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), value))
    if isinstance(value, Mapping):
        return {filled(k, values, finish): filled(v, values, finish) for k, v in value.items()}
    return [filled(v, values, finish) for v in value] if isinstance(value, list) else value


def auth_json(logins: Mapping[str, str]) -> str:
    """An auth.json with *logins*, ``user:password`` by host."""
    encoded = {
        host: {"auth": base64.b64encode(one.encode()).decode()} for host, one in logins.items()
    }
    return json.dumps({"auths": encoded})
