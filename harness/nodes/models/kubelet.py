"""The pull secrets that kubelet passes to the container runtime for an image, in order.

kubelet decides by the image name alone; mirrors do not matter. It makes one PullImage call for each
match until one succeeds. Rules as in Kubernetes'
pkg/credentialprovider (keyring.go, config.go); see also
https://kubernetes.io/docs/concepts/containers/images/#config-json
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.nodes.models.containerd.pullers import AuthConfig, Cri
from harness.nodes.models.files import matches
from harness.nodes.models.go_url import GoURL, InvalidURL, parse_url, split_host_port
from harness.nodes.models.reference import normalised_reference

_LARGEST_SECRET = 1 << 20
"""Bytes; the API server accepts no larger Secret."""
_HUB = "index.docker.io"


class InvalidSecret(ValueError):
    """A ``.dockerconfigjson`` that kubelet cannot read; the message says what is wrong."""


@dataclass(frozen=True)
class KeyringEntry:
    """One entry of a secret: the key as written, and the login."""

    key: str
    username: str = ""
    password: str = field(default="", repr=False)
    secret: str | None = None
    """The Secret's name, or None for the node's own configuration."""

    @property
    def origin(self) -> str:
        """Secret and key, for users."""
        return f"{self.secret}, key {self.key!r}"


# -- reading ------------------------------------------------------------------------------------
def read_docker_config(text: str, secret: str | None = None) -> list[KeyringEntry]:
    """The entries of a ``.dockerconfigjson`` (or of the older ``.dockercfg``, without ``auths``).

    ``auth`` takes precedence over ``username`` and ``password``. Raises :class:`InvalidSecret`;
    kubelet then pulls nothing for the pod.
    """
    if len(text) > _LARGEST_SECRET:
        raise InvalidSecret("larger than 1 MiB, the limit of a Secret")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSecret(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidSecret("must be a JSON object")
    auths = document.get("auths", {}) if "auths" in document else document
    if not isinstance(auths, dict):
        raise InvalidSecret("`auths` must be an object")
    return [_entry(key, values, secret) for key, values in auths.items()]


def _entry(key: str, values: object, secret: str | None) -> KeyringEntry:
    if not isinstance(values, dict):
        raise InvalidSecret(f"the entry of {key!r} must be an object")
    texts = {name: values.get(name, "") for name in ("username", "password", "auth")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise InvalidSecret(f"`{name}` of {key!r} must be a string")
    username, password = texts["username"], texts["password"]
    if texts["auth"]:
        username, password = _decoded(key, texts["auth"])
    return KeyringEntry(key, username, password, secret)


def _decoded(key: str, auth: str) -> tuple[str, str]:
    # Padding is required if the text ends in "=", and must be missing otherwise.
    padded = auth if auth.strip().endswith("=") else auth + "=" * (-len(auth) % 4)
    try:
        text = base64.b64decode(padded, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        raise InvalidSecret(f"`auth` of {key!r} is not base64") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise InvalidSecret(f"`auth` of {key!r} must be base64 of username:password")
    return username, password


# -- matching -----------------------------------------------------------------------------------
def matching_entries(entries: Iterable[KeyringEntry], repository: str) -> tuple[KeyringEntry, ...]:
    """The *entries* for *repository* (normalised, without tag), in the order they are tried.

    The order is reverse alphabetical by key, so that a longer path comes first. Docker Hub's key,
    index.docker.io, is used only if no other key matches.
    """
    located = [(location, one) for one in entries if (location := _location(one.key)) is not None]
    located.sort(key=lambda pair: pair[0], reverse=True)
    found = [entry for location, entry in located if _matches(location, repository)]
    if not found and _is_on_hub(repository):
        found = [entry for location, entry in located if location == _HUB]
    return tuple(found)


def _location(key: str) -> str | None:
    """The host, port and path of a key; None for a key that is ignored.

    The scheme is dropped, and so is a path that begins with /v1/ or /v2/, slash included.
    """
    try:
        url = parse_url(key if key.startswith(("https://", "http://")) else f"https://{key}")
    except InvalidURL:
        return None
    path = url.path
    if path.startswith(("/v2/", "/v1/")):
        path = path[3:]
    return url.host if path in {"", "/"} else url.host + path


def _matches(location: str, repository: str) -> bool:
    """Same port and number of host labels, each label matched by glob, and a prefix of the path."""
    try:
        pattern, target = parse_url(f"https://{location}"), parse_url(f"https://{repository}")
    except InvalidURL:
        return False
    (pattern_parts, pattern_port), (parts, port) = _split(pattern), _split(target)
    return (
        pattern_port == port
        and len(pattern_parts) == len(parts)
        and target.path.startswith(pattern.path)
        and all(map(matches, pattern_parts, parts))
    )


def _split(url: GoURL) -> tuple[list[str], str]:
    host, port = split_host_port(url.host) or (url.host, "")
    return host.split("."), port


def _is_on_hub(repository: str) -> bool:
    first, slash, _ = repository.partition("/")
    if not slash or first in {"docker.io", _HUB}:
        return first != ""
    return "." not in first and ":" not in first


# -- pulling ------------------------------------------------------------------------------------
def pull_requests(
    image: str, secrets: Mapping[str, str], node: str | None = None
) -> tuple[Cri, ...]:
    """The PullImage calls of kubelet for *image*, in order, until one succeeds.

    *secrets* are ``.dockerconfigjson`` texts by the Secret's name, in the pod's order (a pod
    without imagePullSecrets gets those of its service account); *node* is the node's own
    config.json, tried after them. Without a match there is one call without credentials, and only
    then the runtime uses its own configuration. Raises :class:`InvalidSecret`, and
    ``InvalidReference`` for an invalid image name.
    """
    reference = normalised_reference(image)
    of_pod = [entry for name, text in secrets.items() for entry in read_docker_config(text, name)]
    of_node = read_docker_config(node) if node is not None else []
    found = [one for part in (of_pod, of_node) for one in matching_entries(part, reference.name)]
    # kubelet leaves server_address empty, which makes the runtime send the login to any host.
    return tuple(
        Cri(AuthConfig(username=entry.username, password=entry.password)) for entry in found
    ) or (Cri(),)
