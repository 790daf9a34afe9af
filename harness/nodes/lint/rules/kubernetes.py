"""Kubernetes manifests: pull secrets, pull policies, the form of pods, and their ports."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.containers import Container, Port, TakenPorts, pod_containers
from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Edit, Hit, KeyEdit, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.logins import TYPES
from harness.nodes.lint.project import Object, Pod, Project, cluster_of, containers, pull_secrets
from harness.nodes.lint.rule import RuleContext, Rules

rules = Rules(Kind.KUBERNETES)

_MOST_NAMES = 200  # that are compared with a misspelled one
_POLICIES = ("Always", "IfNotPresent", "Never")
_SECRETS = "imagePullSecrets"


def _pods(file: TreeFile, context: RuleContext) -> list[Pod]:
    return context.cluster.pods_in(file)


def _containers(file: TreeFile, context: RuleContext) -> Iterator[Node]:
    for pod in _pods(file, context):
        yield from containers(pod.spec)


def _users(file: TreeFile, context: RuleContext) -> Iterator[tuple[Object, str, Node]]:
    """Each pod or account with a pull secret: its object, the secret's name and node."""
    for pod in _pods(file, context):
        yield from ((pod.owner, name, node) for name, node in pull_secrets(pod.spec))
    for object_ in context.cluster.objects_in(file):
        if object_.kind == "ServiceAccount":
            yield from ((object_, name, node) for name, node in pull_secrets(object_.node))


@rules("PPK001", "PPK002", "PPK004", each=_users)
def named_secret(use: tuple[Object, str, Node], context: RuleContext) -> Iterator[tuple[str, Hit]]:
    (owner, name, node), cluster = use, context.cluster
    named = cluster.named("Secret", name)
    found = [secret for secret in named if secret.may_share_namespace(owner)]
    here = context.project.once(
        "names of pull secrets",
        lambda: [o.name for o in cluster.objects if o.kind == "Secret" and _is_pull_secret(o)],
    )
    if here and not named:
        near = nearest(name, here[:_MOST_NAMES])
        fix = f"did you mean {near}?" if near else ""
        yield "PPK001", node.hit(f"{quoted(owner.name)} names {quoted(name)}", fix=fix)
    if named and not found:
        what = f"{quoted(name)} is in {quoted(named[0].namespace)}, "
        yield "PPK002", node.hit(f"{what}the pod in {quoted(owner.namespace)}")
    if found and not any(_is_pull_secret(secret) for secret in found):
        type_ = found[0].node.string("type") or "Opaque"
        yield "PPK004", node.hit(f"{quoted(name)} is of type {quoted(type_)}")


def _is_pull_secret(secret: Object) -> bool:
    return secret.node.string("type") in TYPES or any(map(secret.holds, TYPES.values()))


@rules("PPK003")
def misplaced_pull_secrets(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for object_ in context.cluster.objects_in(file):
        spec = object_.node.get("spec")
        outside = spec.get(_SECRETS) if spec and spec.get("template") else None
        if outside:
            yield outside.hit(f"{_SECRETS} is outside the template")
        if object_.kind == "ServiceAccount":
            yield from _misshapen(object_.node)
    for pod in _pods(file, context):
        yield from _misshapen(pod.spec)
    for container in _containers(file, context):
        if node := container.get(_SECRETS):
            yield node.hit(f"{_SECRETS} is inside a container")


def _misshapen(holder: Node) -> Iterator[Hit]:
    secrets = holder.get(_SECRETS)
    for key, node in holder.items():
        if key in {"imagePullSecret", "imagePullsecrets", "imagepullsecrets", "pullSecrets"}:
            possible = node.kind == "sequence" and secrets is None
            edits = [KeyEdit("rename", node.path, _SECRETS)] if possible else []
            yield node.hit(f"unknown key {quoted(key)}", *edits, fix=f"write {_SECRETS}")
    if secrets and secrets.kind != "sequence":
        yield secrets.hit(f"{_SECRETS} is not a list")
    for item in holder.list(_SECRETS):
        if item.kind != "mapping":
            yield item.hit(f"{quoted(item.text)} is not written as {{name: ...}}")
        elif not item.string("name"):
            yield item.hit("an item has no name")


@rules("PPK005", "PPK006", "PPK008", each=_containers)
def container(container: Node, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    policy, image = container.get("imagePullPolicy"), container.string("image")
    if policy and policy.text not in _POLICIES:
        same = [p for p in _POLICIES if p.lower() == policy.text.lower()]
        near = same[0] if same else nearest(policy.text, _POLICIES)
        edits: list[Edit] = [KeyEdit("set", policy.path, near)] if near else []
        fix = f"write {near}" if near else ""
        yield "PPK005", policy.hit(f"unknown policy {quoted(policy.text)}", *edits, fix=fix)
    if policy and policy.text == "IfNotPresent" and _is_latest(image):
        what = f"{quoted(image)} has the tag latest, and is not pulled again"
        yield "PPK006", policy.hit(what)
    for variable in container.list("env"):
        value = variable.get("value")
        if value and value.kind not in {"str", "timestamp"}:
            plain = value.kind in {"int", "float", "bool"}
            edits = [KeyEdit("set", value.path, value.text)] if plain else []
            what = f"{quoted(variable.string('name'))} is a {value.kind}"
            yield "PPK008", value.hit(what, *edits)


def _is_latest(image: str) -> bool:
    tag = image.rpartition("/")[2].partition(":")[2]
    return bool(image) and "@" not in image and tag in {"", "latest"}


@rules("PPK007", each=_pods)
def never_pulled(pod: Pod, context: RuleContext) -> Iterator[Hit]:
    policies = [container.get("imagePullPolicy") for container in containers(pod.spec)]
    never = [policy for policy in policies if policy and policy.text == "Never"]
    for policy in never if pull_secrets(pod.spec) and len(never) == len(policies) else ():
        yield policy.hit("never pulled, although the pod has pull secrets")


@rules("PPK020", "PPK022", "PPK023", each=_pods)
def ports_of_a_pod(pod: Pod, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    taken: dict[tuple[int, str], Container] = {}
    published = []
    for container in context.project.once_each(pod_containers, pod):
        for port in container.ports:
            first = taken.setdefault((port.target, port.protocol), container)
            if first is not container:
                what = f"{quoted(first.name)} uses port {port.target} too"
                yield "PPK020", port.node.hit(what)
            if _conflicts(pod, port):
                what = f"hostPort {port.published} for {port.target}, with hostNetwork"
                yield "PPK022", port.node.hit(what)
            if port.published:
                published.append(port)
    replicas = pod.owner.node.string("spec", "replicas")
    several = replicas.isdecimal() and len(replicas) < 9 and int(replicas) > 1
    scaled = pod.owner.kind in {"Deployment", "StatefulSet", "ReplicaSet"}
    if published and several and scaled:
        what = f"{replicas} replicas need port {published[0].published}"
        yield "PPK023", published[0].node.hit(what)


def _conflicts(pod: Pod, port: Port) -> bool:
    return pod.on_host_network and port.published != port.target


@rules("PPK021")
def one_port_of_the_node(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    found = context.project.once("ports of nodes", lambda: _node_ports(context.project))
    yield from found.get(id(file), ())


def _node_ports(project: Project) -> dict[int, list[Hit]]:
    """The hits, by the ``id`` of the file."""
    found: dict[int, list[Hit]] = {}
    taken = TakenPorts()
    for pod in cluster_of(project).pods:
        found_in = project.once_each(pod_containers, pod)
        ports = (port for container in found_in for port in container.ports)
        for port in ports:
            if port.published and not _conflicts(pod, port):
                owner = f"{pod.owner.kind} {pod.owner.name}"
                first = taken.take(port, owner)
                if first not in {None, owner}:
                    what = f"{quoted(first)} already uses port {port.published} of the node"
                    found.setdefault(id(pod.owner.file), []).append(port.node.hit(what))
    return found
