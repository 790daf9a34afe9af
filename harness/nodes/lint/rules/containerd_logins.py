"""config.toml: logins, which are looked up by the host that is contacted."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import RenameKey, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules
from harness.nodes.lint.rules.containerd import registries

__all__ = ["rules"]

rules = Rules(Kind.CONTAINERD, source="measured on 1.6.20 to 2.3.4")


@rules("PPT004", "error")
def login_for_a_directory(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Login for a name that is never contacted.

    why: configs.HOST.auth applies to the host and port that containerd contacts, not to the
        directory in certs.d
    fix: write the host as in the URL of hosts.toml, with its port
    """
    named, contacted = context.project.named, context.project.contacted
    for where, host in _logins(file):
        lacks_port = any(c.startswith(f"{host}:") for c in contacted)
        impossible = "." not in host and ":" not in host and host != "localhost"
        if (
            "://" in host
            or host in contacted
            or host in {"docker.io", "index.docker.io"}
            or lacks_port
        ):
            continue
        if host in named or impossible:
            yield Hit(file.at(*where), f"containerd never contacts {quoted(host)}")


@rules("PPT005", "error", fixable=True)
def login_without_port(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Login without the port.

    why: the name is compared with the host that containerd contacts, including the port
    fix: add the port
    """
    contacted = context.project.contacted
    for where, host in _logins(file):
        ports = sorted(c for c in contacted if c.startswith(f"{host}:"))
        if ports and host not in contacted:
            edits = (RenameKey(where, ports[0]),) if len(ports) == 1 else ()
            yield Hit(
                file.at(*where),
                f"containerd contacts {quoted(host)} as {ports[0]}",
                f"write {ports[0]}",
                edits,
            )


@rules("PPT006", "error", fixable=True)
def login_for_hub(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Login for docker.io.

    why: containerd contacts Docker Hub as registry-1.docker.io, and looks up the login by that name
    fix: write registry-1.docker.io
    """
    for where, host in _logins(file):
        if host in {"docker.io", "index.docker.io"} and host not in context.project.contacted:
            yield Hit(
                file.at(*where),
                f"containerd never contacts {quoted(host)}",
                edits=(RenameKey(where, "registry-1.docker.io"),),
            )


@rules("PPT007", "error", fixable=True)
def login_for_a_url(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Login for a URL.

    why: the name is compared with host and port, so a scheme or a path never matches
    fix: write HOST or HOST:PORT
    """
    for where, host in _logins(file):
        if "://" in host:
            plain = host.partition("://")[2].partition("/")[0]
            yield Hit(
                file.at(*where),
                f"{quoted(host)} is a URL",
                f"write {plain}",
                (RenameKey(where, plain),),
            )


def _logins(file: TomlFile) -> Iterator[tuple[tuple[str, ...], str]]:
    for section in registries(file):
        for host, values in file.table(*section, "configs").items():
            if isinstance(values, dict) and "auth" in values:
                yield (*section, "configs", host), host


@rules("PPT014", "error")
def half_a_login(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Incomplete login.

    why: without a password, containerd has no credential to send
    fix: set username and password, or auth
    """
    for where, host in _logins(file):
        auth = file.table(*where, "auth")
        half = bool(auth.get("username")) != bool(auth.get("password")) or not auth
        if half and not auth.get("auth") and not auth.get("identitytoken"):
            yield Hit(file.at(*where, "auth"), f"the login for {quoted(host)} is incomplete")
