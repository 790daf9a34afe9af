"""Kubernetes manifests: pull secrets, pull policies, and the form of pods."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Edit, RenameKey, SetValue, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import Object, containers
from harness.nodes.lint.logins import TYPES
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.KUBERNETES)

_MOST_NAMES = 200  # that are compared with a misspelled one
_POLICIES = ("Always", "IfNotPresent", "Never")


def _named(file: TreeFile, context: RuleContext) -> Iterator[tuple[Object, str, Node]]:
    """Each pod or account with a pull secret: its object, the secret's name and node."""
    cluster = context.cluster
    for pod in cluster.pods_in(file):
        yield from ((pod.owner, name, node) for name, node in pod.pull_secrets)
    for object_ in cluster.objects_in(file):
        if object_.kind == "ServiceAccount":
            yield from ((object_, name, node) for name, node in object_.pull_secrets)


@rules("PPK001")
def absent_secret(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    cluster = context.cluster
    here = context.project.once(
        "names of pull secrets", lambda: [o.name for o in cluster.secrets if _is_pull_secret(o)]
    )
    for owner, name, node in _named(file, context):
        if here and not cluster.named("Secret", name):
            near = nearest(name, here[:_MOST_NAMES])
            fix = f"did you mean {near}?" if near else ""
            yield Hit(node.spot, f"{quoted(owner.name)} names {quoted(name)}", fix)


def _is_pull_secret(secret: Object) -> bool:
    if secret.node.string("type") in TYPES:
        return True
    sections = (secret.node.get(section, key) for section in ("data", "stringData")
                for key in TYPES.values())  # fmt: skip
    return any(node is not None for node in sections)


@rules("PPK002")
def other_namespace(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for owner, name, node in _named(file, context):
        found = context.cluster.named("Secret", name)
        if found and not any(secret.may_share_namespace(owner) for secret in found):
            what = f"{quoted(name)} is in {quoted(found[0].namespace)}, "
            yield Hit(node.spot, f"{what}the pod in {quoted(owner.namespace)}")


@rules("PPK003", fixable=True)
def misplaced_pull_secrets(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    cluster = context.cluster
    for object_ in cluster.objects_in(file):
        spec = object_.node.get("spec")
        if spec is not None and spec.get("template") and spec.get("imagePullSecrets"):
            yield Hit(
                (spec.get("imagePullSecrets") or spec).spot,
                "imagePullSecrets is outside the template",
            )
        if object_.kind == "ServiceAccount":
            yield from _misshapen(object_.node)
    for pod in cluster.pods_in(file):
        yield from _misshapen(pod.spec)
        for container in containers(pod.spec):
            node = container.get("imagePullSecrets")
            if node is not None:
                yield Hit(node.spot, "imagePullSecrets is inside a container")


def _misshapen(holder: Node) -> Iterator[Hit]:
    for key, node in holder.items():
        if key in {"imagePullSecret", "imagePullsecrets", "imagepullsecrets", "pullSecrets"}:
            edits: tuple[Edit, ...] = ()
            if node.kind == "sequence" and holder.get("imagePullSecrets") is None:
                edits = (RenameKey(node.path, "imagePullSecrets"),)
            yield Hit(node.spot, f"unknown key {quoted(key)}", "write imagePullSecrets", edits)
    secrets = holder.get("imagePullSecrets")
    if secrets is not None and secrets.kind != "sequence":
        yield Hit(secrets.spot, "imagePullSecrets is not a list")
    for item in secrets.list() if secrets is not None else ():
        if item.kind != "mapping":
            yield Hit(item.spot, f"{quoted(item.text)} is not written as {{name: ...}}")
        elif not item.string("name"):
            yield Hit(item.spot, "an item has no name")


@rules("PPK004")
def no_pull_secret(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for owner, name, node in _named(file, context):
        found = [s for s in context.cluster.named("Secret", name) if s.may_share_namespace(owner)]
        if found and not any(_is_pull_secret(secret) for secret in found):
            type_ = found[0].node.string("type") or "Opaque"
            yield Hit(node.spot, f"{quoted(name)} is of type {quoted(type_)}")


@rules("PPK005", fixable=True)
def unknown_policy(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for pod in context.cluster.pods_in(file):
        for container in containers(pod.spec):
            node = container.get("imagePullPolicy")
            if node is not None and node.text not in _POLICIES:
                same = [p for p in _POLICIES if p.lower() == node.text.lower()]
                near = same[0] if same else nearest(node.text, _POLICIES)
                edits = (SetValue(node.path, near),) if near else ()
                fix = f"write {near}" if near else ""
                yield Hit(node.spot, f"unknown policy {quoted(node.text)}", fix, edits)


@rules("PPK006")
def stale_latest(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for pod in context.cluster.pods_in(file):
        for container in containers(pod.spec):
            node, image = container.get("imagePullPolicy"), container.string("image")
            if node is not None and node.text == "IfNotPresent" and _is_latest(image):
                yield Hit(node.spot, f"{quoted(image)} has the tag latest, and is not pulled again")


def _is_latest(image: str) -> bool:
    tag = image.rpartition("/")[2].partition(":")[2]
    return bool(image) and "@" not in image and tag in {"", "latest"}


@rules("PPK007")
def never_pulled(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for pod in context.cluster.pods_in(file):
        if not pod.pull_secrets:
            continue
        policies = [c.get("imagePullPolicy") for c in containers(pod.spec)]
        if policies and all(node is not None and node.text == "Never" for node in policies):
            for node in policies:
                if node is not None:
                    yield Hit(node.spot, "never pulled, although the pod has pull secrets")


@rules("PPK008", fixable=True)
def value_without_quotes(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for pod in context.cluster.pods_in(file):
        for container in containers(pod.spec):
            for variable in container.list("env"):
                value = variable.get("value")
                if value is not None and value.kind not in {"str", "timestamp"}:
                    name = variable.string("name")
                    edits: tuple[Edit, ...] = (SetValue(value.path, value.text),)
                    plain = value.kind in {"int", "float", "bool"}
                    what = f"{quoted(name)} is a {value.kind}"
                    yield Hit(value.spot, what, edits=edits if plain else ())
