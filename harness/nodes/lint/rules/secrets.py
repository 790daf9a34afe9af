"""Secrets with logins: their type, their key, and how the value is encoded."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import AddKey, Edit, RemoveKey, RenameKey, SetValue, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import Object
from harness.nodes.lint.logins import CONFIG_JSON_TYPE, TYPES, logins_in, values_of
from harness.nodes.lint.parsing import InvalidJSON, parse_json
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.KUBERNETES)

_LIKELY_KEYS = (
    ".dockerconfigjson",
    ".dockercfg",
    "dockerconfigjson",
    "dockercfg",
    "config.json",
    ".docker/config.json",
    ".dockerconfig.json",
)


def _secrets(file: TreeFile, context: RuleContext) -> Iterator[Object]:
    for object_ in context.cluster.objects_in(file):
        if object_.kind == "Secret":
            yield object_


def _spot_node(secret: Object) -> Node:
    return secret.node.get("type") or secret.node


@rules("PPS101", fixable=True)
def wrong_type(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for secret in _secrets(file, context):
        given = secret.node.string("type")
        wanted = [type_ for type_, key in TYPES.items() if _holds(secret, key)]
        if not wanted and nearest(given, TYPES) and given not in TYPES:
            wanted = [nearest(given, TYPES) or ""]
        if not wanted or given in TYPES:
            continue
        path = (*secret.node.path, "type")
        edit: Edit = SetValue(path, wanted[0])
        if secret.node.get("type") is None:
            edit = AddKey(path, wanted[0])
        said = quoted(given) if given else "no type, which means Opaque"
        yield Hit(_spot_node(secret).spot, f"{said}: kubelet does not log in with it",
                  f"write type: {wanted[0]}, and recreate the secret", (edit,))  # fmt: skip


def _holds(secret: Object, key: str) -> bool:
    return any(secret.node.get(section, key) is not None for section in ("data", "stringData"))


@rules("PPS102", fixable=True)
def wrong_key(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for secret in _secrets(file, context):
        wanted = TYPES.get(secret.node.string("type"))
        if wanted is None or _holds(secret, wanted):
            continue
        likely = [
            (section, key, node)
            for section in ("data", "stringData")
            for key, node in _items(secret, section)
            if key in _LIKELY_KEYS
        ]
        what = f"no key {wanted}"
        if len(likely) == 1:
            section, key, node = likely[0]
            edits = (RenameKey((*secret.node.path, section, key), wanted),)
            yield Hit(node.spot, f"{what}, only {quoted(key)}", f"rename it to {wanted}", edits)
        else:
            yield Hit(_spot_node(secret).spot, what, f"store the logins under {wanted}")


def _items(secret: Object, section: str) -> Iterator[tuple[str, Node]]:
    found = secret.node.get(section)
    if found is not None:
        yield from found.items()


@rules("PPS103", fixable=True)
def not_base64(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for secret in _secrets(file, context):
        for content in values_of(secret):
            if content.text is None:
                # Moving one of several keys needs both sections: only a single key is fixed.
                data, path = secret.node.get("data"), (*secret.node.path, "data")
                alone = data is not None and len(list(data.items())) == 1
                alone = alone and secret.node.get("stringData") is None
                plain = content.node.text.lstrip().startswith("{")
                edits = (RenameKey(path, "stringData"),) if alone and plain else ()
                yield Hit(content.node.spot, f"{content.key} is not base64", edits=edits)


@rules("PPS104", fixable=True)
def encoded_twice(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for secret in _secrets(file, context):
        for content in values_of(secret):
            if content.is_encoded_twice and content.text is not None:
                path = (*secret.node.path, content.section, content.key)
                once = content.text.strip() if content.section == "data" else content.json
                times = "twice" if content.section == "data" else "below stringData"
                edits = (SetValue(path, once),)
                yield Hit(content.node.spot, f"{content.key} is encoded {times}", edits=edits)


@rules("PPS105")
def no_logins(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for secret in _secrets(file, context):
        for content in values_of(secret):
            what = "" if content.json is None else _why_none(content.json, content.key, file)
            if what:
                yield Hit(content.node.spot, f"{content.key}: {what}")


def _why_none(text: str, key: str, file: TreeFile) -> str:
    if not text.strip():
        return "it is empty"
    try:
        root = Node(parse_json(text, file.path))
    except InvalidJSON as error:
        said = f"it is not JSON: {error.reason}"
        return f"{said} in its line {error.line}" if "\n" in text.strip() else said
    if root.kind != "mapping":
        return "it is not a JSON object"
    auths = root.get("auths")
    if key == ".dockerconfigjson" and (auths is None or auths.kind != "mapping"):
        return "it has no object auths"
    if key == ".dockercfg" and auths is not None:
        return "auths belongs in .dockerconfigjson: .dockercfg has registries as its top-level keys"
    return ""


@rules("PPS106", fixable=True)
def in_both(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for secret in _secrets(file, context):
        for key, node in _items(secret, "data"):
            if key in TYPES.values() and secret.node.get("stringData", key) is not None:
                path = (*secret.node.path, "data", key)
                yield Hit(node.spot, f"stringData overrides {key}", edits=(RemoveKey(path),))


@rules("PPS107", kinds=(Kind.KUBERNETES, Kind.LOGINS))
def credential_helper(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for logins in logins_in(file, context):
        for key in ("credsStore", "credHelpers"):
            node = logins.root.get(key)
            if node is not None and logins.is_for_kubelet:
                yield Hit(logins.spot(node), f"{key} has no effect in a cluster")


@rules("PPS108")
def unused_secret(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    cluster = context.cluster
    for secret in _secrets(file, context):
        if secret.node.string("type") != CONFIG_JSON_TYPE or secret.name in cluster.account_secrets:
            continue
        if any(pod.owner.may_share_namespace(secret) for pod in cluster.pods) and not cluster.users(
            secret
        ):
            yield Hit(_spot_node(secret).spot, f"no pod in these files uses {quoted(secret.name)}")
