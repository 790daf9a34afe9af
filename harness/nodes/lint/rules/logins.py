"""Logins: which images an entry applies to, and what it contains."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.documents import TreeFile
from harness.nodes.lint.finding import Hit, KeyEdit, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import Pod
from harness.nodes.lint.logins import (
    CheckedLogins,
    LoginEntry,
    Logins,
    checked_logins,
    decoded_auth,
    encoded_auth,
    host_in,
    hostname,
    logins_in,
)
from harness.nodes.lint.rule import RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.LOGINS, Kind.KUBERNETES)

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


@rules("PPS001", "PPS002", "PPS005", "PPS006", each=checked_logins)
def unmatched(checked: CheckedLogins, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    entries, explained = checked.logins.all, False
    for entry in checked.unmatched:
        key, host = quoted(entry.key), hostname(entry.host)
        fronted, other = checked.mirror_of(entry), checked.port_differs(entry)
        if fronted:
            # No edit: only people know whether the mirror's login is right for the registry.
            what = f"{key} is the mirror; images are of {quoted(fronted)}"
            yield "PPS001", entry.hit(entry.node, what, fix=f"name the entry {fronted}")
        elif other:
            what = f"{key} does not match images of {quoted(other)}"
            rename = KeyEdit("rename", entry.node.path, other)
            yield "PPS002", entry.hit(entry.node, what, rename, fix=f"write {other}")
        if "*" in host and (checked.images or host == "*"):
            yield "PPS005", entry.hit(entry.node, f"{key} matches no image in these files")
        odd = entry.host.lower() in _NEVER_HUB or _why_impossible(entry.key)
        explained = explained or bool(fronted or other or "*" in entry.key or odd)
    none_matches = entries and checked.images and len(checked.unmatched) == len(entries)
    if none_matches and not explained:
        registries = ", ".join(sorted(checked.registries)[:3])
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


def _pods(file: TreeFile, context: RuleContext) -> list[Pod]:
    return context.cluster.pods_in(file)


@rules("PPS008", each=_pods)
def several(pod: Pod, context: RuleContext) -> Iterator[Hit]:
    seen: dict[str, str] = {}
    for name, node in pod.pull_secrets:
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
