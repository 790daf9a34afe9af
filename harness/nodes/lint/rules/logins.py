"""Logins: which images an entry applies to, and what it contains."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.documents import TreeFile
from harness.nodes.lint.finding import RenameKey, SetValue, Spot, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.logins import (
    LoginEntry,
    checked_logins,
    decoded_auth,
    encoded_auth,
    host_in,
    hostname,
    logins_in,
)
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.LOGINS, Kind.KUBERNETES)


def _entries(file: TreeFile, context: RuleContext) -> Iterator[LoginEntry]:
    for logins in logins_in(file, context):
        yield from logins.all


def _auth(entry: LoginEntry) -> str:
    return entry.node.string("auth")


@rules("PPS201")
def not_base64(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for entry in _entries(file, context):
        if _auth(entry) and decoded_auth(_auth(entry)) is None:
            yield Hit(_spot(entry), f"auth of {quoted(entry.key)} is not base64")


def _spot(entry: LoginEntry) -> Spot:
    return entry.logins.spot(entry.node.get("auth") or entry.node)


@rules("PPS202", fixable=True)
def no_colon(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for entry in _entries(file, context):
        text = decoded_auth(_auth(entry))
        if not _auth(entry) or text is None or entry.pair is not None:
            continue
        again = decoded_auth(text)
        if again is not None and ":" in again and again.rstrip("\r\n").isprintable():
            edits = entry.edits(SetValue((*entry.node.path, "auth"), text.strip()))
            yield Hit(_spot(entry), f"auth of {quoted(entry.key)} is encoded twice",
                      "encode it once", edits)  # fmt: skip
        else:
            yield Hit(_spot(entry), f"auth of {quoted(entry.key)} has no colon")


@rules("PPS203", fixable=True)
def line_break(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for entry in _entries(file, context):
        user, password = entry.pair or ("", "")
        if _auth(entry) and password.endswith(("\n", "\r")):
            fixed = encoded_auth(user, password.rstrip("\r\n"))
            edits = entry.edits(SetValue((*entry.node.path, "auth"), fixed))
            what = f"the password of {quoted(entry.key)} ends with a line break"
            yield Hit(_spot(entry), what, edits=edits)
        for key in ("username", "password"):
            node = entry.node.get(key)
            if node is not None and node.text.endswith(("\n", "\r")):
                edits = entry.edits(SetValue(node.path, node.text.rstrip("\r\n")))
                what = f"{key} of {quoted(entry.key)} ends with a line break"
                yield Hit(entry.logins.spot(node), what, edits=edits)


@rules("PPS204")
def contradiction(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for entry in _entries(file, context):
        if entry.pair is None or not _auth(entry):
            continue
        for key, meant in zip(("username", "password"), entry.pair, strict=True):
            node = entry.node.get(key)
            if node is not None and node.text != meant and not meant.endswith("\n"):
                what = f"{key} of {quoted(entry.key)} differs from auth"
                yield Hit(entry.logins.spot(node), what)


@rules("PPS205")
def empty(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for entry in _entries(file, context):
        stored = entry.logins.root.get("credsStore") or entry.logins.root.get("credHelpers")
        given = {key for key in ("auth", "identitytoken", "registrytoken", "username", "password")
                 if entry.node.string(key)}  # fmt: skip
        if stored is not None:
            continue
        if not given or given in ({"username"}, {"password"}):
            missing = "no login" if not given else "incomplete login"
            yield Hit(entry.spot, f"{missing} for {quoted(entry.key)}")


@rules("PPS206")
def identity_token(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for entry in _entries(file, context):
        for key in ("identitytoken", "registrytoken"):
            node = entry.node.get(key)
            without = not (entry.pair and entry.pair[1]) and not entry.node.string("password")
            if node is not None and node.text and without and entry.logins.is_for_kubelet:
                what = f"kubelet does not use {key} of {quoted(entry.key)}"
                yield Hit(entry.logins.spot(node), what)


@rules("PPS207")
def duplicates(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    from harness.nodes.lint.documents import spot_of

    for logins in logins_in(file, context):
        auths = logins.auths
        for repeat in getattr(auths.entry.value, "repeats", ()) if auths is not None else ():
            spot = logins.content.node.spot if logins.content else spot_of(repeat.place)
            yield Hit(spot, f"duplicate key {quoted(repeat.key)}")


@rules("PPS208", fixable=True)
def wrong_form(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for logins in logins_in(file, context):
        for key, node in logins.auths.items() if logins.auths is not None else ():
            if node.kind not in {"mapping", "null"}:
                hint = ' ({"auth": "..."})' if node.kind == "str" else ""
                what = f"the entry of {quoted(key)} must be an object{hint}"
                yield Hit(logins.spot(node), what, "write the entry as an object")
                continue
            for name in ("auth", "username", "password"):
                value = node.get(name)
                if value is None or value.kind == "str":
                    continue
                plain = value.kind in {"int", "float", "bool"} and logins.secret is None
                edits = (SetValue(value.path, value.text),) if plain else ()
                yield Hit(
                    logins.spot(value), f"{name} of {quoted(key)} is not a string", edits=edits
                )


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


@rules("PPS001")
def for_the_mirror(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for checked in checked_logins(file, context):
        for entry in checked.unmatched:
            registry = checked.mirror_of(entry)
            if registry:
                # No edit: only people know whether the mirror's login is right for the registry.
                what = f"{quoted(entry.key)} is the mirror; images are of {quoted(registry)}"
                yield Hit(entry.spot, what, f"name the entry {registry}")


@rules("PPS002", fixable=True)
def port_differs(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for checked in checked_logins(file, context):
        for entry in checked.unmatched:
            registry = checked.port_differs(entry)
            if registry and not checked.mirror_of(entry):
                edits = entry.edits(RenameKey(entry.node.path, registry))
                what = f"{quoted(entry.key)} does not match images of {quoted(registry)}"
                yield Hit(entry.spot, what, f"write {registry}", edits)


@rules("PPS003", fixable=True)
def hub_under_another_name(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for logins in logins_in(file, context):
        for entry in logins.all:
            if host_in(entry.key).lower() in _NEVER_HUB:
                edits = entry.edits(RenameKey(entry.node.path, _HUB_KEY))
                yield Hit(entry.spot, f"{quoted(entry.key)} is never looked up", edits=edits)


@rules("PPS004", fixable=True)
def impossible(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for logins in logins_in(file, context):
        keys = {entry.key for entry in logins.all}
        for entry in logins.all:
            why = _why_impossible(entry.key)
            if why:
                host = host_in(entry.key.strip())
                clean = host and " " not in host and host not in keys
                edits = entry.edits(RenameKey(entry.node.path, host)) if clean else ()
                yield Hit(entry.spot, f"{quoted(entry.key)}: {why}", edits=edits)


def _why_impossible(key: str) -> str:
    if not key.strip() or key != key.strip() or any(c.isspace() for c in key):
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


@rules("PPS005")
def pattern(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for checked in checked_logins(file, context):
        for entry in checked.unmatched:
            host = hostname(host_in(entry.key))
            if "*" in host and (checked.images or host == "*"):
                yield Hit(entry.spot, f"{quoted(entry.key)} matches no image in these files")


@rules("PPS006")
def other_registries(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for checked in checked_logins(file, context):
        entries = checked.logins.all
        if not entries or not checked.images or len(checked.unmatched) < len(entries):
            continue
        explained = any(
            checked.mirror_of(e)
            or checked.port_differs(e)
            or "*" in e.key
            or host_in(e.key).lower() in _NEVER_HUB
            or _why_impossible(e.key)
            for e in entries
        )
        if not explained:
            registries = ", ".join(sorted(checked.registries)[:3])
            yield Hit(entries[0].spot, f"the images in these files are of {registries}")


@rules("PPS007", fixable=True, kinds=(Kind.LOGINS,))
def unknown_to_docker(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    docker = posixpath.basename(posixpath.dirname(file.absolute)) == ".docker"
    composes = next(context.project.of_kind(Kind.COMPOSE, TreeFile), None) is not None
    if not (docker or (composes and not context.cluster.images)):
        return
    for logins in logins_in(file, context):
        if any(entry.key == _HUB_KEY for entry in logins.all):
            continue
        for entry in logins.all:
            if host_in(entry.key) in {"docker.io", "index.docker.io"}:
                edits = entry.edits(RenameKey(entry.node.path, _HUB_KEY))
                yield Hit(entry.spot, f"docker does not look up {quoted(entry.key)}",
                          edits=edits)  # fmt: skip


@rules("PPS008")
def several(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    if file.kind is not Kind.KUBERNETES:
        return
    cluster = context.cluster
    for pod in cluster.pods_in(file):
        seen: dict[str, str] = {}
        for name, node in pod.pull_secrets:
            first = ""
            for secret in cluster.named("Secret", name):
                for logins in logins_in(secret.file, context):
                    if logins.secret is secret and secret.may_share_namespace(pod.owner):
                        keys = {entry.key for entry in logins.all}
                        first = next((seen[key] for key in sorted(keys & seen.keys())), first)
                        seen |= dict.fromkeys(keys - seen.keys(), name)
            if first and first != name:
                what = f"{quoted(name)} and {quoted(first)} have logins for the same registry"
                yield Hit(node.spot, what)
