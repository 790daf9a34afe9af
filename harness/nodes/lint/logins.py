"""Logins for registries, wherever they are written: a file of their own, or inside a Secret."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Edit, Spot
from harness.nodes.lint.json_tree import InvalidJSON, parse_json
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import Object, cluster_of
from harness.nodes.lint.rule import RuleContext

if TYPE_CHECKING:
    from harness.nodes.lint.project import Project

__all__ = [
    "CONFIG_JSON_TYPE",
    "TYPES",
    "Content",
    "Login",
    "Logins",
    "content_of",
    "decoded",
    "decoded_auth",
    "encoded_auth",
    "logins_in",
]

_ESCAPED = "surrogateescape"
_BREAKS = str.maketrans("", "", "\r\n")
CONFIG_JSON_TYPE = "kubernetes.io/dockerconfigjson"
TYPES = {CONFIG_JSON_TYPE: ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
"""Type of a Secret that kubelet logs in with, to the key that it reads
(https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets)."""


def decoded(text: str) -> str | None:
    """What base64 *text* stands for, in which bytes that are no UTF-8 are escaped; None where it is
    no base64. Line breaks within are passed over, as Go's encoding/base64 does."""
    try:
        return base64.b64decode(text.translate(_BREAKS), validate=True).decode(errors=_ESCAPED)
    except (binascii.Error, ValueError):
        return None


def decoded_auth(text: str) -> str | None:
    """As :func:`decoded`, for ``auth``, whose padding kubelet does not ask for."""
    stripped = text.strip()
    padding = "" if stripped.endswith("=") else "=" * (-len(stripped) % 4)
    return decoded(stripped + padding)


def encoded_auth(user: str, password: str) -> str:
    """``auth`` of a user and a password, which may be escaped as :func:`decoded` does."""
    return base64.b64encode(f"{user}:{password}".encode(errors=_ESCAPED)).decode()


@dataclass(frozen=True)
class Content:
    """What a Secret holds under a key that a login could stand under."""

    secret: Object
    section: str
    """``data`` or ``stringData``."""
    key: str
    node: Node
    text: str | None
    """None where it is not the base64 that it has to be."""

    @property
    def json(self) -> str | None:
        """The text in which logins are looked for: as it is, or after the second base64."""
        if self.text is None or self.text.lstrip().startswith("{"):
            return self.text
        again = decoded(self.text)
        return again if again is not None and again.lstrip().startswith("{") else self.text

    @property
    def is_encoded_twice(self) -> bool:
        return self.json != self.text


def content_of(secret: Object) -> Iterator[Content]:
    """What stands under ``.dockerconfigjson`` or ``.dockercfg``. Of both sections ``stringData``
    counts."""
    for key in TYPES.values():
        for section in ("stringData", "data"):
            node = secret.node.get(section, key)
            if node is None:
                continue
            text = node.text if section == "stringData" else decoded(node.text)
            yield Content(secret, section, key, node, text)
            break


@dataclass(frozen=True)
class Login:
    """One entry: the registry's name as written, and what stands there."""

    key: str
    node: Node
    logins: Logins

    @property
    def spot(self) -> Spot:
        return self.logins.spot(self.node)

    @cached_property
    def pair(self) -> tuple[str, str] | None:
        """User and password of ``auth``; None where there is none, or where it has no such form.

        A password is never printed.
        """
        text = decoded_auth(self.node.string("auth"))
        user, colon, password = (text or "").partition(":")
        return (user, password) if colon else None

    def edits(self, *edits: Edit) -> tuple[Edit, ...]:
        """*edits*, unless the entry stands in a Secret, whose text is none of a file's own."""
        return edits if self.logins.secret is None else ()


@dataclass(frozen=True)
class Logins:
    """All entries of one place."""

    file: TreeFile
    root: Node
    content: Content | None = None
    """What they stand in, if that is a Secret."""

    @property
    def secret(self) -> Object | None:
        return self.content.secret if self.content else None

    @property
    def is_for_kubelet(self) -> bool:
        """Whether kubelet reads it, rather than docker or podman."""
        path = self.file.absolute
        return (
            self.secret is not None
            or path.endswith((".dockerconfigjson", ".dockercfg"))
            or "/kubelet/" in path
        )

    @property
    def auths(self) -> Node | None:
        """The mapping of all entries: ``auths``, or the whole in the older form."""
        older = self.root.get("auths") is None and (
            self.content.key == ".dockercfg"
            if self.content
            else self.file.path.endswith((".dockercfg", ".dockerconfigjson"))
        )
        return self.root if older else self.root.get("auths")

    @cached_property
    def all(self) -> tuple[Login, ...]:
        auths = self.auths
        entries = auths.items() if auths is not None else ()
        return tuple(Login(key, node, self) for key, node in entries if node.kind == "mapping")

    def spot(self, node: Node) -> Spot:
        """Where *node* stands; of what a Secret holds, where the Secret's value stands."""
        return self.content.node.spot if self.content else node.spot


def logins_in(file: TreeFile, context: RuleContext) -> tuple[Logins, ...]:
    """The logins of a file of its own, or those of each Secret of a manifest that is JSON inside,
    however often it was encoded."""
    project = context.project
    return project.once(("logins", id(file)), lambda: tuple(_found(file, project)))


def _found(file: TreeFile, project: Project) -> Iterator[Logins]:
    if file.kind is Kind.LOGINS:
        for root in file.roots:
            yield Logins(file, root)
        return
    for object_ in cluster_of(project).objects_in(file):
        if object_.kind == "Secret":
            for content in content_of(object_):
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
