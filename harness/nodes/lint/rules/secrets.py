"""Secrets with logins: their type, their key, and how the value is encoded."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Hit, KeyEdit, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import Object
from harness.nodes.lint.logins import CONFIG_JSON_TYPE, TYPES, Logins, logins_in, values_of
from harness.nodes.lint.parsing import InvalidJSON, parse_json
from harness.nodes.lint.rule import RuleContext, Rules

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
    return (o for o in context.cluster.objects_in(file) if o.kind == "Secret")


@rules("PPS101", "PPS102", "PPS106", "PPS108", each=_secrets)
def form(secret: Object, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    given, key = secret.node.string("type"), TYPES.get(secret.node.string("type"))
    named, cluster = secret.node.get("type"), context.cluster
    wanted = next((type_ for type_, key in TYPES.items() if secret.holds(key)), None)
    wanted = wanted or nearest(given, TYPES)
    if wanted and key is None:
        edit = KeyEdit("set" if named else "add", (*secret.node.path, "type"), wanted)
        said = quoted(given) if given else "no type, which means Opaque"
        what = f"{said}: kubelet does not log in with it"
        fix = f"write type: {wanted}, and recreate the secret"
        yield "PPS101", (named or secret.node).hit(what, edit, fix=fix)
    if key is not None and not secret.holds(key):
        yield "PPS102", _without_key(secret, key)
    for name, node in secret.node.items("data"):
        if name in TYPES.values() and secret.node.get("stringData", name):
            yield "PPS106", node.hit(f"stringData overrides {name}", KeyEdit("remove", node.path))
    if given == CONFIG_JSON_TYPE and secret.name not in cluster.account_secrets:
        near = any(pod.owner.may_share_namespace(secret) for pod in cluster.pods)
        if near and not cluster.users(secret):
            what = f"no pod in these files uses {quoted(secret.name)}"
            yield "PPS108", (named or secret.node).hit(what)


def _without_key(secret: Object, wanted: str) -> Hit:
    sections = [secret.node.items(section) for section in ("data", "stringData")]
    likely = [(key, node) for items in sections for key, node in items if key in _LIKELY_KEYS]
    if len(likely) != 1:
        at, fix = secret.node.get("type") or secret.node, f"store the logins under {wanted}"
        return at.hit(f"no key {wanted}", fix=fix)
    key, node = likely[0]
    what, rename = f"no key {wanted}, only {quoted(key)}", KeyEdit("rename", node.path, wanted)
    return node.hit(what, rename, fix=f"rename it to {wanted}")


@rules("PPS103", "PPS104", "PPS105", each=_secrets)
def value(secret: Object, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    for content in values_of(secret):
        node, key = content.node, content.key
        if content.text is None or content.json is None:
            # Moving one of several keys needs both sections: only a single key is fixed.
            alone = len(list(secret.node.items("data"))) == 1 and not secret.node.get("stringData")
            plain = node.text.lstrip().startswith("{")
            edits = [KeyEdit("rename", node.path[:-1], "stringData")] if alone and plain else []
            yield "PPS103", node.hit(f"{key} is not base64", *edits)
            continue
        if content.is_encoded_twice:
            once = content.text.strip() if content.section == "data" else content.json
            times = "twice" if content.section == "data" else "below stringData"
            what = f"{key} is encoded {times}"
            yield "PPS104", node.hit(what, KeyEdit("set", node.path, once))
        if what := _why_no_logins(content.json, key, secret.file):
            yield "PPS105", node.hit(f"{key}: {what}")


def _why_no_logins(text: str, key: str, file: TreeFile) -> str:
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


@rules("PPS107", each=logins_in, kinds=(Kind.KUBERNETES, Kind.LOGINS))
def credential_helper(logins: Logins, context: RuleContext) -> Iterator[Hit]:
    for key in ("credsStore", "credHelpers") if logins.is_for_kubelet else ():
        if node := logins.root.get(key):
            yield Hit(logins.spot(node), f"{key} has no effect in a cluster")
