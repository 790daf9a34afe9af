"""``pullproof explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.choice import Choice

if TYPE_CHECKING:  # The modules behind the command take long to import.
    from harness.nodes.explain.explanation import Explanation

__all__ = ["explain"]

_FILE = click.Path(path_type=Path)
_WIDEST = 100_000


@click.command()
@click.argument("image")
@click.option(
    "--puller",
    type=Choice(["cri", "ctr", "docker", "skopeo", "podman"]),
    default="cri",
    help="The client that pulls; cri (the default) is kubelet and crictl.",
)
@click.option("--certs-d", type=_FILE, metavar="DIR", help="containerd's certs.d directory.")
@click.option("--config", type=_FILE, metavar="FILE", help="containerd's config.toml.")
@click.option(
    "--containerd",
    "release",
    metavar="VERSION",
    help="Release such as 1.7.24; default: the installed one, else the newest known.",
)
@click.option(
    "--ctr",
    "ctr_options",
    metavar="OPTIONS",
    help="Options of ctr, such as '--hosts-dir DIR -u me:pw'.",
)
@click.option(
    "--pull-secret",
    "pull_secrets",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help=".dockerconfigjson of an imagePullSecret of the pod; repeatable, in the pod's order.",
)
@click.option(
    "--service-account-secret",
    "service_account_secrets",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="The same for the service account; used if the pod has no imagePullSecrets.",
)
@click.option("--node-secret", type=_FILE, metavar="FILE", help="kubelet's own config.json.")
@click.option("--auth-file", type=_FILE, metavar="FILE", help="auth.json, or docker's config.json.")
@click.option(
    "--registries-conf", type=_FILE, metavar="FILE", help="registries.conf of skopeo and podman."
)
@click.option("--daemon-json", type=_FILE, metavar="FILE", help="daemon.json of docker.")
@click.option(
    "--when",
    multiple=True,
    metavar="HOST=BEHAVIOUR",
    help="Make a host fail (see below); repeatable. All other hosts are healthy.",
)
@click.option("--probe", is_flag=True, help="Send HEAD requests to each host, without credentials.")
@click.option(
    "--probe-with-credentials",
    is_flag=True,
    help="With --probe: answer Basic challenges with the login that the client would send.",
)
@click.option(
    "--format",
    "form",
    type=Choice(["tree", "json", "markdown", "mermaid"]),
    default="tree",
    help="Output format (default: tree).",
)
@click.option("--output", "-o", type=_FILE, metavar="FILE", help="Output file (not for a tree).")
def explain(
    image: str,
    pull_secrets: tuple[Path, ...],
    service_account_secrets: tuple[Path, ...],
    probe: bool,
    probe_with_credentials: bool,
    form: str,
    output: Path | None,
    **options: Any,
) -> int:
    """Explain how IMAGE is pulled: the hosts in order, the line that configures each of them, the
    credentials it gets, the effect of its failures, and the error that the user sees.

    \b
    Examples:
      pullproof explain nginx
      pullproof explain reg.example/team/app:v1 --certs-d certs.d --containerd 1.7.24
      pullproof explain reg.example/team/app:v1 --pull-secret secret.json --when mirror:5000=401
      pullproof explain nginx --probe

    Without options, the files in /etc/containerd (or /etc/containers, /etc/docker) are read.

    \b
    Behaviours of --when: down unreachable unresolved tls tls-hang plain tls-only reset hang html
    truncate wrong basic bearer, a status such as 404, and others (docs/explain.md). Add a request
    to limit one: 404@layer, 500@resolve (also @index, @manifest, @config).

    Exit codes: 0 the pull succeeds, 1 the pull fails, 2 invalid options or files.
    """
    from harness.nodes.explain.explanation import BadInput, printable

    if probe_with_credentials and not probe:
        raise click.UsageError("--probe-with-credentials needs --probe")
    if output is not None and form == "tree":
        raise click.UsageError("--output needs --format json, markdown or mermaid")
    from harness.nodes.explain.questions import ExplainOptions, answer

    try:
        found = answer(
            ExplainOptions(
                image=image,
                pull_secrets=pull_secrets or service_account_secrets,
                probe="with credentials"
                if probe_with_credentials
                else "anonymous"
                if probe
                else None,
                **options,
            )
        )
    except BadInput as error:
        raise click.ClickException(printable(str(error))) from None
    _write(found, form, output)
    return 0 if found.error is None else 1


def _write(found: Explanation, form: str, output: Path | None) -> None:
    if form == "tree":
        from rich.console import Console

        from harness.nodes.explain.tree import print_tree

        # Lines are never wrapped in a file or a pipe.
        width = None if sys.stdout.isatty() else _WIDEST
        print_tree(found, Console(highlight=False, width=width))
        return
    from harness.nodes.explain.render import RENDERERS

    text = RENDERERS[form](found)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot write {output}: {error.strerror}") from None
