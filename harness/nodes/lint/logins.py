"""Logins for registries, in files of their own and in Secrets, and the images that they match."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Edit, Hit, Spot
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import Object, cluster_of
from harness.nodes.lint.parsing import InvalidJSON, parse_json
from harness.nodes.lint.project import NamedImage, Project
from harness.nodes.lint.rule import RuleContext

if TYPE_CHECKING:
    from harness.nodes.lint.project import Project

__all__ = [
    "CONFIG_JSON_TYPE",
    "TYPES",
    "CheckedLogins",
    "LoginEntry",
    "Logins",
    "SecretValue",
    "checked_logins",
    "decoded",
    "decoded_auth",
    "encoded_auth",
    "host_in",
    "hostname",
    "logins_in",
    "values_of",
]

_ESCAPED = "surrogateescape"
_BREAKS = str.maketrans("", "", "\r\n")
CONFIG_JSON_TYPE = "kubernetes.io/dockerconfigjson"
TYPES = {CONFIG_JSON_TYPE: ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
"""Type of a Secret that kubelet logs in with, to the key that it reads
(https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets)."""


def decoded(text: str) -> str | None:
    """Decodes the base64 *text*; bytes that are not UTF-8 are escaped. None if it is not base64.
    Line breaks are ignored, as Go's encoding/base64 does."""
    try:
        return base64.b64decode(text.translate(_BREAKS), validate=True).decode(errors=_ESCAPED)
    except (binascii.Error, ValueError):
        return None


def decoded_auth(text: str) -> str | None:
    """Like :func:`decoded`, for ``auth``, for which kubelet does not require padding."""
    stripped = text.strip()
    padding = "" if stripped.endswith("=") else "=" * (-len(stripped) % 4)
    return decoded(stripped + padding)


def encoded_auth(user: str, password: str) -> str:
    """``auth`` for a user and a password, which may be escaped as by :func:`decoded`."""
    return base64.b64encode(f"{user}:{password}".encode(errors=_ESCAPED)).decode()


@dataclass(frozen=True)
class SecretValue:
    """A value of a Secret that may contain logins."""

    secret: Object
    section: str
    """``data`` or ``stringData``."""
    key: str
    node: Node
    text: str | None
    """The decoded value; None if it is not base64, but should be."""

    @property
    def json(self) -> str | None:
        """The JSON text with the logins, also if it was encoded twice."""
        if self.text is None or self.text.lstrip().startswith("{"):
            return self.text
        again = decoded(self.text)
        return again if again is not None and again.lstrip().startswith("{") else self.text

    @property
    def is_encoded_twice(self) -> bool:
        return self.json != self.text


def values_of(secret: Object) -> Iterator[SecretValue]:
    """The values of ``.dockerconfigjson`` and ``.dockercfg``. ``stringData`` overrides ``data``."""
    for key in TYPES.values():
        for section in ("stringData", "data"):
            node = secret.node.get(section, key)
            if node is None:
                continue
            text = node.text if section == "stringData" else decoded(node.text)
            yield SecretValue(secret, section, key, node, text)
            break


@dataclass(frozen=True)
class LoginEntry:
    """An entry: the registry's name as written, and its value."""

    key: str
    node: Node
    logins: Logins

    @property
    def auth(self) -> str:
        return self.node.string("auth")

    @property
    def host(self) -> str:
        return host_in(self.key)

    @cached_property
    def pair(self) -> tuple[str, str] | None:
        """User and password in ``auth``; None if it is missing or malformed.

        A password is never printed.
        """
        text = decoded_auth(self.auth)
        user, colon, password = (text or "").partition(":")
        return (user, password) if colon else None

    def hit(self, node: Node, what: str, *edits: Edit, fix: str = "") -> Hit:
        """A hit at *node*, without edits for an entry in a Secret, whose text is not a file."""
        return Hit(self.logins.spot(node), what, fix, edits if self.logins.secret is None else ())


@dataclass(frozen=True)
class Logins:
    """All entries of a file or of a Secret."""

    file: TreeFile
    root: Node
    content: SecretValue | None = None
    """The value that contains them, in a Secret."""

    @property
    def secret(self) -> Object | None:
        return self.content.secret if self.content else None

    @property
    def is_for_kubelet(self) -> bool:
        """Whether kubelet reads them, rather than docker or podman."""
        path = self.file.absolute
        return (
            self.secret is not None
            or path.endswith((".dockerconfigjson", ".dockercfg"))
            or "/kubelet/" in path
        )

    @property
    def auths(self) -> Node | None:
        """The mapping of all entries: ``auths``, or the whole document in the older form."""
        older = self.root.get("auths") is None and (
            self.content.key == ".dockercfg"
            if self.content
            else self.file.path.endswith((".dockercfg", ".dockerconfigjson"))
        )
        return self.root if older else self.root.get("auths")

    @cached_property
    def all(self) -> tuple[LoginEntry, ...]:
        auths = self.auths
        entries = auths.items() if auths is not None else ()
        return tuple(LoginEntry(key, node, self) for key, node in entries if node.kind == "mapping")

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset(entry.key for entry in self.all)

    def spot(self, node: Node) -> Spot:
        """The position of *node*; inside a Secret, the position of the Secret's value."""
        return self.content.node.spot if self.content else node.spot


def logins_in(file: TreeFile, context: RuleContext) -> tuple[Logins, ...]:
    """The logins of *file*, or of each of its Secrets that contains JSON, also if it was encoded
    twice."""
    project = context.project
    return project.once(("logins", id(file)), lambda: tuple(_found(file, project)))


def _found(file: TreeFile, project: Project) -> Iterator[Logins]:
    if file.kind is Kind.LOGINS:
        for root in file.roots:
            yield Logins(file, root)
        return
    for object_ in cluster_of(project).objects_in(file):
        if object_.kind == "Secret":
            for content in values_of(object_):
                inside = _parsed(content.json, file)
                if inside is not None:
                    yield Logins(file, inside, content)


def _parsed(text: str | None, file: TreeFile) -> Node | None:
    if text is None or not text.lstrip().startswith("{"):
        return None
    try:
        return Node(parse_json(text, file.path))
    except InvalidJSON:
        return None


_MOST_GLOBS = 100  # of one place; each is compared with every image


@dataclass
class CheckedLogins:
    """The entries of a file or of a Secret, and the images that they may apply to."""

    logins: Logins
    project: Project

    @cached_property
    def images(self) -> tuple[NamedImage, ...]:
        """For a Secret, the images of the pods that use it, or all if no pod does; for a file, all,
        but none for docker's own file."""
        secret, cluster = self.logins.secret, cluster_of(self.project)
        users = cluster.users(secret) if secret is not None else ()
        if users:
            return tuple(image for pod in users for image in pod.images)
        if secret is None:
            by_docker = "/.docker/" in self.logins.file.absolute
            return () if by_docker else cluster.images
        pods = (pod for pod in cluster.pods if pod.owner.may_share_namespace(secret))
        return tuple(image for pod in pods for image in pod.images)

    @cached_property
    def _repositories(self) -> dict[str, list[NamedImage]]:
        """The images by host, without the port."""
        found: dict[str, list[NamedImage]] = {}
        for image in {image.repository: image for image in self.images}.values():
            found.setdefault(hostname(image.registry), []).append(image)
        return found

    def near(self, host: str) -> list[NamedImage]:
        """The images of a host, with any port."""
        return self._repositories.get(host, [])

    def matched(self, entry: LoginEntry) -> bool:
        """Whether kubelet tries the entry for one of the images."""
        from harness.nodes.models.kubelet import KeyringEntry, matching_entries

        host = hostname(entry.host)
        candidates: Iterable[NamedImage] = self.near(host)
        if host == "index.docker.io":
            candidates = self.near("docker.io")
        if "*" in entry.key:
            candidates = (image for images in self._repositories.values() for image in images)
        entries = [KeyringEntry(entry.key)]
        return any(matching_entries(entries, image.repository) for image in candidates)

    @cached_property
    def unmatched(self) -> tuple[LoginEntry, ...]:
        """The entries that kubelet tries for none of the images."""
        globs = 0
        found = []
        for entry in self.logins.all:
            globs += "*" in entry.key
            if globs <= _MOST_GLOBS and not self.matched(entry):
                found.append(entry)
        return tuple(found)

    @cached_property
    def registries(self) -> frozenset[str]:
        return frozenset(image.registry for image in self.images)

    def mirror_of(self, entry: LoginEntry) -> str:
        """The registry of the images that the entry's host mirrors; empty if there is none."""
        fronted = self.project.mirrored.get(entry.host, frozenset())
        if not self.images:
            only = self.logins.is_for_kubelet and entry.host not in fronted
            return min(fronted - {"_default"}, default="") if only else ""
        if "_default" in fronted:
            fronted = fronted | self.registries
        return min((fronted & self.registries) - {entry.host}, default="")

    def port_differs(self, entry: LoginEntry) -> str:
        """The registry of the images that differs from the entry's host only in the port."""
        host = entry.host
        near = {image.registry for image in self.near(hostname(host))}
        return min(near - {host}, default="") if host not in near else ""


def hostname(host: str) -> str:
    """*host* without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def host_in(key: str) -> str:
    """The host and port of an entry's name, which may be a URL."""
    for scheme in ("https://", "http://"):
        key = key.removeprefix(scheme)
    return key.partition("/")[0]


def checked_logins(file: TreeFile, context: RuleContext) -> tuple[CheckedLogins, ...]:
    """The logins of *file*, with the images that they may apply to."""
    project = context.project
    return project.once(
        ("checked logins", id(file)),
        lambda: tuple(CheckedLogins(logins, project) for logins in logins_in(file, context)),
    )
