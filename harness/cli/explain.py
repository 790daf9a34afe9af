"""``pullproof explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness.cli.common import Choice, file_option, format_option, output_option, write_output
from harness.nodes.explain.explanation import BadInput, ExplainOptions, printable
from harness.nodes.explain.questions import answer
from harness.nodes.explain.render import RENDERERS
from harness.nodes.explain.tree import print_tree

_WIDEST = 100_000


@click.command()
@click.argument("image")
@click.option(
    "--puller",
    type=Choice(["cri", "ctr", "docker", "skopeo", "podman"]),
    default="cri",
    help="The client that pulls; cri (the default) is kubelet and crictl.",
)
@file_option("--certs-d", metavar="DIR", text="containerd's certs.d directory.")
@file_option("--config", text="containerd's config.toml.")
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
@file_option(
    "--pull-secret",
    "pull_secrets",
    multiple=True,
    text=".dockerconfigjson of an imagePullSecret of the pod; repeatable, in the pod's order.",
)
@file_option(
    "--service-account-secret",
    "service_account_secrets",
    multiple=True,
    text="The same for the service account; used if the pod has no imagePullSecrets.",
)
@file_option("--node-secret", text="kubelet's own config.json.")
@file_option("--auth-file", text="auth.json, or docker's config.json.")
@file_option("--registries-conf", text="registries.conf of skopeo and podman.")
@file_option("--daemon-json", text="daemon.json of docker.")
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
@format_option("tree", "json", "markdown", "mermaid")
@output_option
def explain(
    image: str,
    pull_secrets: tuple[Path, ...],
    service_account_secrets: tuple[Path, ...],
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
    if options["probe_with_credentials"] and not options["probe"]:
        raise click.UsageError("--probe-with-credentials needs --probe")
    if output is not None and form == "tree":
        raise click.UsageError("--output needs --format json, markdown or mermaid")
    secrets = pull_secrets or service_account_secrets
    try:
        found = answer(ExplainOptions(image=image, pull_secrets=secrets, **options))
    except BadInput as error:
        raise click.ClickException(printable(str(error))) from None
    if form == "tree":
        # Lines are never wrapped in a file or a pipe.
        width = None if sys.stdout.isatty() else _WIDEST
        print_tree(found, Console(highlight=False, width=width))
    else:
        write_output(RENDERERS[form](found), output)
    return 0 if found.error is None else 1
