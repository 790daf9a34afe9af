"""``pullproof explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.nodes.explain.explanation import Explanation

__all__ = ["explain"]

_FILE = click.Path(path_type=Path)
_WIDEST = 100_000


@click.command()
@click.argument("image")
@click.option(
    "--puller",
    type=click.Choice(["cri", "ctr", "docker", "skopeo", "podman"]),
    default="cri",
    help="Who pulls (default: cri, which is kubelet and crictl).",
)
@click.option("--certs-d", type=_FILE, metavar="DIR", help="Stands for containerd's certs.d.")
@click.option("--config", type=_FILE, metavar="FILE", help="containerd's config.toml.")
@click.option(
    "--containerd",
    "release",
    metavar="VERSION",
    help="Such as 1.7.24 (default: the one that is installed, else the newest that is known).",
)
@click.option("--ctr", "ctr_options", metavar="OPTIONS", help="ctr's: '--hosts-dir DIR -u me:pw'.")
@click.option(
    "--pull-secret",
    "pull_secrets",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="The .dockerconfigjson of one of the pod's imagePullSecrets; repeatable, in order.",
)
@click.option(
    "--service-account-secret",
    "service_account_secrets",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="The same of its service account, which counts for pods that name none.",
)
@click.option("--node-secret", type=_FILE, metavar="FILE", help="kubelet's own config.json.")
@click.option("--auth-file", type=_FILE, metavar="FILE", help="auth.json, or docker's config.json.")
@click.option("--registries-conf", type=_FILE, metavar="FILE", help="For skopeo and podman.")
@click.option("--daemon-json", type=_FILE, metavar="FILE", help="For docker.")
@click.option(
    "--when",
    multiple=True,
    metavar="HOST=BEHAVIOUR",
    help="How a host behaves (see below); repeatable. All others are healthy.",
)
@click.option("--probe", is_flag=True, help="Really ask each host: HEAD only, without credentials.")
@click.option(
    "--probe-with-credentials",
    is_flag=True,
    help="With --probe: answer Basic challenges with the login that the client would send.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "json", "markdown", "mermaid", "svg"]),
    default="tree",
    help="How to tell it (default: tree).",
)
@click.option("--output", "-o", type=_FILE, metavar="FILE", help="Where to (not for a tree).")
def explain(
    image: str,
    puller: str,
    certs_d: Path | None,
    config: Path | None,
    release: str | None,
    ctr_options: str | None,
    pull_secrets: tuple[Path, ...],
    service_account_secrets: tuple[Path, ...],
    node_secret: Path | None,
    auth_file: Path | None,
    registries_conf: Path | None,
    daemon_json: Path | None,
    when: tuple[str, ...],
    probe: bool,
    probe_with_credentials: bool,
    form: str,
    output: Path | None,
) -> int:
    """Tell what pulling IMAGE will do: the hosts in order, the line of the file that puts each
    there, who gets which credentials, what a host's failure costs, and the error in the end.

    \b
    pullproof explain nginx
    pullproof explain reg.example/team/app:v1 --certs-d certs.d --containerd 1.7.24
    pullproof explain reg.example/team/app:v1 --pull-secret secret.json --when mirror:5000=401
    pullproof explain nginx --probe

    Without files, those in /etc/containerd (or /etc/containers, /etc/docker) are read.

    \b
    A behaviour is: down unreachable unresolved tls tls-hang plain tls-only reset hang html
    truncate wrong basic bearer, or a status such as 404. Those of answers may be limited:
    404@layer, 500@resolve (also @index, @manifest, @config).

    Exit codes: 0 the pull would succeed as far as is known, 1 it would end in an error, 2 misuse
    or a file that cannot be used.
    """
    from harness.nodes.explain.explanation import BadInput

    if probe_with_credentials and not probe:
        raise click.UsageError("--probe-with-credentials needs --probe")
    if output is not None and form == "tree":
        raise click.UsageError("--output needs a --format other than tree")
    from harness.nodes.explain.questions import Asked, answer

    asked = Asked(
        image=image,
        puller=puller,
        certs_d=certs_d,
        config=config,
        release=release,
        ctr_options=ctr_options,
        pull_secrets=pull_secrets or service_account_secrets,
        node_secret=node_secret,
        auth_file=auth_file,
        registries_conf=registries_conf,
        daemon_json=daemon_json,
        when=when,
        probe="with credentials" if probe_with_credentials else "anonymous" if probe else None,
    )
    try:
        found = answer(asked)
    except BadInput as error:
        from harness.nodes.explain.explanation import printable

        raise click.ClickException(printable(str(error))) from None
    _write(found, form, output)
    return 0 if found.error is None else 1


def _write(found: Explanation, form: str, output: Path | None) -> None:
    if form == "tree":
        from rich.console import Console

        from harness.nodes.explain.render.tree import print_tree

        # A file or a pipe gets whole lines.
        width = None if sys.stdout.isatty() else _WIDEST
        console = Console(highlight=False, width=width)
        print_tree(found, console)
        return
    from harness.nodes.explain.render import renderer

    text = renderer(form)(found)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot write {output}: {error.strerror}") from None
