"""Logins in files and in Secrets: which images an entry applies to, what it contains, and how it is
stored in a Secret."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Hit, KeyEdit, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.logins import (
    CONFIG_JSON_TYPE,
    TYPES,
    LoginEntry,
    Logins,
    decoded_auth,
    encoded_auth,
    host_in,
    hostname,
    logins_in,
    values_of,
)
from harness.nodes.lint.parsing import InvalidJSON, parse_json
from harness.nodes.lint.project import Object, Pod, pull_secrets
from harness.nodes.lint.rule import RuleContext, Rules

rules = Rules(Kind.LOGINS, Kind.KUBERNETES)
_CLUSTER = (Kind.KUBERNETES,)

_HUB_KEY = "https://index.docker.io/v1/"
_NEVER_HUB = {
    "registry-1.docker.io",
    "registry.hub.docker.com",
    "hub.docker.com",
    "registry.docker.io",
    "registry.docker.com",
    "docker.com",
    "auth.docker.io",
    "www.docker.io",
}
"""Hosts of Docker that no image name contains."""


_DOCKER_FILES = ("config.json", ".docker/config.json", ".dockerconfig.json")
_LIKELY_KEYS = (*TYPES.values(), "dockerconfigjson", "dockercfg", *_DOCKER_FILES)


def _entries(file: TreeFile, context: RuleContext) -> Iterator[LoginEntry]:
    for logins in logins_in(file, context):
        yield from logins.all


# -- What an entry contains ---------------------------------------------------------------------
@rules("PPS201", "PPS202", "PPS203", "PPS204", each=_entries)
def auth(entry: LoginEntry, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    key, text = quoted(entry.key), decoded_auth(entry.auth)
    user, password = entry.pair or ("", "")
    node, path = entry.node.get("auth") or entry.node, (*entry.node.path, "auth")
    if entry.auth and text is None:
        yield "PPS201", entry.hit(node, f"auth of {key} is not base64")
    if entry.auth and text is not None and entry.pair is None:
        inside = decoded_auth(text)
        if inside is not None and ":" in inside and inside.rstrip("\r\n").isprintable():
            what, edit = f"auth of {key} is encoded twice", KeyEdit("set", path, text.strip())
            yield "PPS202", entry.hit(node, what, edit, fix="encode it once")
        else:
            yield "PPS202", entry.hit(node, f"auth of {key} has no colon")
    if entry.auth and password.endswith(("\n", "\r")):
        edit = KeyEdit("set", path, encoded_auth(user, password.rstrip("\r\n")))
        yield "PPS203", entry.hit(node, f"the password of {key} ends with a line break", edit)
    for name, meant in (("username", user), ("password", password)):
        value = entry.node.get(name)
        if value is None:
            continue
        if value.text.endswith(("\n", "\r")):
            edit = KeyEdit("set", value.path, value.text.rstrip("\r\n"))
            yield "PPS203", entry.hit(value, f"{name} of {key} ends with a line break", edit)
        if entry.pair and value.text != meant and not meant.endswith("\n"):
            yield "PPS204", entry.hit(value, f"{name} of {key} differs from auth")


@rules("PPS205", "PPS206", each=_entries)
def incomplete(entry: LoginEntry, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    root, node, key = entry.logins.root, entry.node, quoted(entry.key)
    tokens = ("identitytoken", "registrytoken")
    given = {k for k in ("auth", "username", "password", *tokens) if node.string(k)}
    stored = root.get("credsStore") or root.get("credHelpers")
    if not stored and given in (set(), {"username"}, {"password"}):
        missing = "no login" if not given else "incomplete login"
        yield "PPS205", entry.hit(node, f"{missing} for {key}")
    without = not (entry.pair and entry.pair[1]) and "password" not in given
    for token in tokens if without and entry.logins.is_for_kubelet else ():
        if token in given:
            what = f"kubelet does not use {token} of {key}"
            yield "PPS206", entry.hit(node.get(token) or node, what)


@rules("PPS207", "PPS208", each=logins_in)
def form(logins: Logins, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    if logins.auths is None:
        return
    for key, spot in logins.auths.repeated_keys():
        where = logins.content.node.spot if logins.content else spot
        yield "PPS207", Hit(where, f"duplicate key {quoted(key)}")
    for key, node in logins.auths.items():
        entry = LoginEntry(key, node, logins)
        if node.kind not in {"mapping", "null"}:
            hint = ' ({"auth": "..."})' if node.kind == "str" else ""
            what = f"the entry of {quoted(key)} must be an object{hint}"
            yield "PPS208", entry.hit(node, what, fix="write the entry as an object")
            continue
        for name in ("auth", "username", "password"):
            value = node.get(name)
            if value is not None and value.kind != "str":
                plain = value.kind in {"int", "float", "bool"}
                edits = [KeyEdit("set", value.path, value.text)] if plain else []
                what = f"{name} of {quoted(key)} is not a string"
                yield "PPS208", entry.hit(value, what, *edits)


# -- Which images an entry applies to -----------------------------------------------------------
@rules("PPS003", "PPS004", each=_entries)
def never_matches(entry: LoginEntry, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    node, key = entry.node, quoted(entry.key)
    if entry.host.lower() in _NEVER_HUB:
        rename = KeyEdit("rename", node.path, _HUB_KEY)
        yield "PPS003", entry.hit(node, f"{key} is never looked up", rename)
    if why := _why_impossible(entry.key):
        host = host_in(entry.key.strip())
        clean = host and " " not in host and host not in entry.logins.keys
        edits = [KeyEdit("rename", node.path, host)] if clean else []
        yield "PPS004", entry.hit(node, f"{key}: {why}", *edits)


def _why_impossible(key: str) -> str:
    if not key.strip() or any(c.isspace() for c in key):
        return "it contains spaces"
    rest = key.removeprefix("https://").removeprefix("http://")
    if "://" in rest:
        return "only http:// and https:// are removed"
    if "@" in rest.partition("/")[0]:
        return "it contains a username"
    host, _, path = rest.partition("/")
    if path in {"v1", "v2"}:
        return f"without a trailing slash, /{path} is taken as a repository"
    if path.startswith(("v1/", "v2/")) and len(path) > 3:
        return ""
    last = posixpath.basename(path)
    if ":" in last or "@" in last:
        return "it has a tag or a digest, and repositories have none"
    return "registry names are in lower case" if host != host.lower() and "*" not in host else ""


@rules("PPS001", "PPS002", "PPS005", "PPS006", each=logins_in)
def unmatched(logins: Logins, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    entries, explained = logins.all, False
    for entry in logins.unmatched:
        key, host = quoted(entry.key), hostname(entry.host)
        fronted, other = logins.mirror_of(entry), logins.port_differs(entry)
        if fronted:
            # No edit: only people know whether the mirror's login is right for the registry.
            what = f"{key} is the mirror; images are of {quoted(fronted)}"
            yield "PPS001", entry.hit(entry.node, what, fix=f"name the entry {fronted}")
        elif other:
            what = f"{key} does not match images of {quoted(other)}"
            rename = KeyEdit("rename", entry.node.path, other)
            yield "PPS002", entry.hit(entry.node, what, rename, fix=f"write {other}")
        if "*" in host and (logins.images or host == "*"):
            yield "PPS005", entry.hit(entry.node, f"{key} matches no image in these files")
        odd = entry.host.lower() in _NEVER_HUB or _why_impossible(entry.key)
        explained = explained or bool(fronted or other or "*" in entry.key or odd)
    none_matches = entries and logins.images and len(logins.unmatched) == len(entries)
    if none_matches and not explained:
        registries = ", ".join(sorted(logins.registries)[:3])
        what = f"the images in these files are of {registries}"
        yield "PPS006", entries[0].hit(entries[0].node, what)


@rules("PPS007", kinds=(Kind.LOGINS,))
def unknown_to_docker(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    docker = posixpath.basename(posixpath.dirname(file.absolute)) == ".docker"
    composes = next(context.project.of_kind(Kind.COMPOSE, TreeFile), None) is not None
    if docker or (composes and not context.cluster.images):
        for entry in _entries(file, context):
            known = _HUB_KEY in entry.logins.keys
            if entry.host in {"docker.io", "index.docker.io"} and not known:
                rename = KeyEdit("rename", entry.node.path, _HUB_KEY)
                what = f"docker does not look up {quoted(entry.key)}"
                yield entry.hit(entry.node, what, rename)


@rules("PPS008", each=lambda file, context: context.cluster.pods_in(file))
def several(pod: Pod, context: RuleContext) -> Iterator[Hit]:
    seen: dict[str, str] = {}
    for name, node in pull_secrets(pod.spec):
        first = ""
        for secret in context.cluster.named("Secret", name):
            for logins in logins_in(secret.file, context):
                if logins.secret is secret and secret.may_share_namespace(pod.owner):
                    keys = logins.keys
                    first = next((seen[key] for key in sorted(keys & seen.keys())), first)
                    seen |= dict.fromkeys(keys - seen.keys(), name)
        if first and first != name:
            what = f"{quoted(name)} and {quoted(first)} have logins for the same registry"
            yield node.hit(what)


# -- Secrets ------------------------------------------------------------------------------------
def _secrets(file: TreeFile, context: RuleContext) -> Iterator[Object]:
    return (o for o in context.cluster.objects_in(file) if o.kind == "Secret")


@rules("PPS101", "PPS102", "PPS106", "PPS108", each=_secrets, kinds=_CLUSTER)
def secret_form(secret: Object, context: RuleContext) -> Iterator[tuple[str, Hit]]:
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


@rules("PPS103", "PPS104", "PPS105", each=_secrets, kinds=_CLUSTER)
def secret_value(secret: Object, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    for content in values_of(secret):
        node, key = content.node, content.key
        if content.text is None or content.json is None:
            # Moving one of several keys needs both sections: only a single key is fixed.
            alone = len(list(secret.node.items("data"))) == 1 and not secret.node.get("stringData")
            plain = node.text.lstrip().startswith("{")
            edits = [KeyEdit("rename", node.path[:-1], "stringData")] if alone and plain else []
            yield "PPS103", node.hit(f"{key} is not base64", *edits)
            continue
        if content.json != content.text:
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
        return f"{said} in its line {error.spot.line}" if "\n" in text.strip() else said
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
