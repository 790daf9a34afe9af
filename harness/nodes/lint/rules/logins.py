"""Logins: what stands in each entry of a config.json, auth.json or pull secret."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.documents import TreeFile
from harness.nodes.lint.finding import SetValue, Spot, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.logins import Login, decoded_auth, encoded_auth, logins_in
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(
    Kind.LOGINS,
    Kind.KUBERNETES,
    source="Kubernetes pkg/credentialprovider/config.go; "
    "docker/cli cli/config/configfile/file.go (decodeAuth)",
)

_KUBELET = "Kubernetes pkg/credentialprovider/config.go"
_DOCKER = "docker/cli cli/config/configfile/file.go (decodeAuth)"


def _entries(file: TreeFile, context: RuleContext) -> Iterator[Login]:
    for logins in logins_in(file, context):
        yield from logins.all


def _auth(entry: Login) -> str:
    return entry.node.string("auth")


@rules("PPS201", "error")
def not_base64(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """auth that is not base64.

    why: kubelet cannot read any login of the secret, and docker does not start at all
    fix: write the output of printf 'USER:PASSWORD' | base64
    """
    for entry in _entries(file, context):
        if _auth(entry) and decoded_auth(_auth(entry)) is None:
            yield Hit(_spot(entry), f"auth of {quoted(entry.key)} is not base64")


def _spot(entry: Login) -> Spot:
    return entry.logins.spot(entry.node.get("auth") or entry.node)


@rules("PPS202", "error", fixable=True)
def no_colon(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """auth without a username and a password.

    why: it must be base64 of USER:PASSWORD, encoded once: without the colon the whole file is
        unusable
    fix: write the output of printf 'USER:PASSWORD' | base64
    """
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


@rules("PPS203", "error", fixable=True)
def line_break(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Line break in the password.

    why: echo without -n appends a line break, which becomes part of the password: every login fails
    fix: use printf, or echo -n, before base64
    source: https://kubernetes.io/docs/tasks/configmap-secret/managing-secret-using-kubectl/
    """
    for entry in _entries(file, context):
        user, password = entry.pair or ("", "")
        if _auth(entry) and password.endswith(("\n", "\r")):
            mended = encoded_auth(user, password.rstrip("\r\n"))
            edits = entry.edits(SetValue((*entry.node.path, "auth"), mended))
            what = f"the password of {quoted(entry.key)} ends with a line break"
            yield Hit(_spot(entry), what, edits=edits)
        for key in ("username", "password"):
            node = entry.node.get(key)
            if node is not None and node.text.endswith(("\n", "\r")):
                edits = entry.edits(SetValue(node.path, node.text.rstrip("\r\n")))
                what = f"{key} of {quoted(entry.key)} ends with a line break"
                yield Hit(entry.logins.spot(node), what, edits=edits)


@rules("PPS204", "error")
def contradiction(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """auth that contradicts username and password.

    why: auth takes precedence, and username and password are ignored: changing only those has no
        effect
    fix: keep auth, and encode the right username and password
    source: Kubernetes pkg/credentialprovider/config.go (auth counts more); docker/cli
        cli/config/configfile/file.go (decodeAuth)
    """
    for entry in _entries(file, context):
        if entry.pair is None or not _auth(entry):
            continue
        for key, meant in zip(("username", "password"), entry.pair, strict=True):
            node = entry.node.get(key)
            if node is not None and node.text != meant and not meant.endswith("\n"):
                what = f"{key} of {quoted(entry.key)} differs from auth"
                yield Hit(entry.logins.spot(node), what)


@rules("PPS205", "warning")
def empty(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Entry without a login.

    why: kubelet tries it with an empty username and password; docker leaves such entries behind if
        a credential store has the password
    fix: add auth, or username and password, or remove the entry
    """
    for entry in _entries(file, context):
        stored = entry.logins.root.get("credsStore") or entry.logins.root.get("credHelpers")
        given = {key for key in ("auth", "identitytoken", "registrytoken", "username", "password")
                 if entry.node.string(key)}  # fmt: skip
        if stored is not None:
            continue
        if not given or given in ({"username"}, {"password"}):
            missing = "no login" if not given else "incomplete login"
            yield Hit(entry.spot, f"{missing} for {quoted(entry.key)}")


@rules("PPS206", "error")
def identity_token(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Identity token in a pull secret.

    why: kubelet reads auth, username and password only: it ignores identitytoken, which az acr
        login and others write, and the password next to it is empty
    fix: use a username and password (a service account, a robot) for the cluster
    source: Kubernetes pkg/credentialprovider/config.go
    """
    for entry in _entries(file, context):
        for key in ("identitytoken", "registrytoken"):
            node = entry.node.get(key)
            without = not (entry.pair and entry.pair[1]) and not entry.node.string("password")
            if node is not None and node.text and without and entry.logins.is_for_kubelet:
                what = f"kubelet does not use {key} of {quoted(entry.key)}"
                yield Hit(entry.logins.spot(node), what)


@rules("PPS207", "error")
def twice(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Duplicate registry.

    why: only the last entry of a name counts
    fix: remove one
    source: RFC 8259, 4; Go's encoding/json keeps the last
    """
    from harness.nodes.lint.documents import spot_of

    for logins in logins_in(file, context):
        auths = logins.auths
        for repeat in getattr(auths.entry.value, "repeats", ()) if auths is not None else ():
            spot = logins.content.node.spot if logins.content else spot_of(repeat.place)
            yield Hit(spot, f"duplicate key {quoted(repeat.key)}")


@rules("PPS208", "error", fixable=True)
def wrong_form(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Malformed login entry.

    why: if a value is not a string, neither kubelet nor docker can read the file
    fix: quote the value, or remove it
    """
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
