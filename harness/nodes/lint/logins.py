"""Logins for registries, in files of their own and in Secrets, and the images that they match."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Edit, Hit, Spot
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.parsing import InvalidJSON, parse_json
from harness.nodes.lint.project import NamedImage, Object, Project, cluster_of
from harness.nodes.lint.rule import RuleContext

_ESCAPED = "surrogateescape"
_MOST_GLOBS = 100  # of one place; each is compared with every image
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
    """All entries of a file or of a Secret, and the images that they may apply to."""

    project: Project
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
        named = path.endswith((".dockerconfigjson", ".dockercfg")) or "/kubelet/" in path
        return named or self.secret is not None

    @property
    def auths(self) -> Node | None:
        """The mapping of all entries: ``auths``, or the whole document in the older form."""
        if self.content:
            older = self.content.key == ".dockercfg"
        else:
            older = self.file.path.endswith((".dockercfg", ".dockerconfigjson"))
        return self.root.get("auths") or (self.root if older else None)

    @cached_property
    def all(self) -> tuple[LoginEntry, ...]:
        entries = self.auths.items() if self.auths else ()
        return tuple(LoginEntry(key, node, self) for key, node in entries if node.kind == "mapping")

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset(entry.key for entry in self.all)

    def spot(self, node: Node) -> Spot:
        """The position of *node*; inside a Secret, the position of the Secret's value."""
        return self.content.node.spot if self.content else node.spot

    @cached_property
    def images(self) -> list[NamedImage]:
        """For a Secret, the images of the pods that use it, or all if no pod does; for a file, all,
        but none for docker's own file."""
        secret, cluster = self.secret, cluster_of(self.project)
        if secret is None:
            return [] if "/.docker/" in self.file.absolute else cluster.images
        near = (pod for pod in cluster.pods if pod.owner.may_share_namespace(secret))
        return [image for pod in cluster.users(secret) or near for image in pod.images]

    @cached_property
    def registries(self) -> frozenset[str]:
        """The registries of :attr:`images`."""
        return frozenset(image.registry for image in self.images)

    @cached_property
    def _near(self) -> dict[str, list[NamedImage]]:
        """The images by host, without the port."""
        found: dict[str, list[NamedImage]] = {}
        for image in {image.repository: image for image in self.images}.values():
            found.setdefault(hostname(image.registry), []).append(image)
        return found

    def _is_matched(self, entry: LoginEntry) -> bool:
        """Whether kubelet tries the entry for one of the images."""
        from harness.nodes.models.kubelet import KeyringEntry, matching_entries

        host = hostname(entry.host)
        candidates = self._near.get("docker.io" if host == "index.docker.io" else host, [])
        if "*" in entry.key:
            candidates = [image for images in self._near.values() for image in images]
        entries = [KeyringEntry(entry.key)]
        return any(matching_entries(entries, image.repository) for image in candidates)

    @cached_property
    def unmatched(self) -> list[LoginEntry]:
        """The entries that kubelet tries for none of the images."""
        globs = [entry for entry in self.all if "*" in entry.key][:_MOST_GLOBS]
        plain = [entry for entry in self.all if "*" not in entry.key]
        return [entry for entry in (*globs, *plain) if not self._is_matched(entry)]

    def mirror_of(self, entry: LoginEntry) -> str:
        """The registry of the images that the entry's host mirrors; empty if there is none."""
        fronted = self.project.mirrored.get(entry.host, frozenset())
        if not self.images:
            only = self.is_for_kubelet and entry.host not in fronted
            return min(fronted - {"_default"}, default="") if only else ""
        if "_default" in fronted:
            fronted = fronted | self.registries
        return min((fronted & self.registries) - {entry.host}, default="")

    def port_differs(self, entry: LoginEntry) -> str:
        """The registry of the images that differs from the entry's host only in the port."""
        near = {image.registry for image in self._near.get(hostname(entry.host), [])}
        return min(near, default="") if entry.host not in near else ""


def logins_in(file: TreeFile, context: RuleContext) -> tuple[Logins, ...]:
    """The logins of *file*, or of each of its Secrets that contains JSON, also if it was encoded
    twice."""
    return context.project.once_each(_found, file)


def _found(file: TreeFile, project: Project) -> Iterator[Logins]:
    if file.kind is Kind.LOGINS:
        yield from (Logins(project, file, root) for root in file.roots)
        return
    for object_ in cluster_of(project).objects_in(file):
        for content in values_of(object_) if object_.kind == "Secret" else ():
            if content.json is not None and content.json.lstrip().startswith("{"):
                with contextlib.suppress(InvalidJSON):
                    yield Logins(project, file, Node(parse_json(content.json, file.path)), content)


def hostname(host: str) -> str:
    """*host* without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def host_in(key: str) -> str:
    """The host and port of an entry's name, which may be a URL."""
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]
