"""containerd's fallback order, from files alone: which host is asked for what, and when the source
after all. The requests themselves are played in test_fallback_played.py."""

from __future__ import annotations

import pytest

from harness.content import an_image
from harness.nodes.models.behaviours import Action, Challenge, HostBehaviour, Rule
from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import Ctr
from harness.suite.expectation import Expectations, containing
from harness.suite.scenario import INFO, scenario
from scenarios.mirroring import (
    CERTS_D,
    HOSTS_DOC,
    IMAGE,
    MEASURED,
    MIRROR,
    MIRRORED,
    SOURCE,
    asked,
    config_toml,
    hosts,
)


@scenario(
    "fallback.file-order",
    "containerd asks the hosts of a hosts.toml in the order of the file, and the source last",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_file_order(expect: Expectations) -> None:
    """Not alphabetical, and not by any measure of which mirror is near."""
    tree = {
        f"{SOURCE}/hosts.toml": f'server = "https://{SOURCE}"\n'
        '[host."https://zone-b.example"]\n[host."https://zone-a.example"]\n'
    }
    plan = resolve_plan(IMAGE, tree)
    expect.client("hosts", hosts(plan), ["zone-b.example", "zone-a.example", SOURCE])


@scenario(
    "fallback.source-without-server",
    "Without a server line the image's own registry is still asked last",
    level=INFO,
    refs=(HOSTS_DOC, "containerd#3850", MEASURED),
)
def test_source_without_server(expect: Expectations) -> None:
    """A cluster that must never leave the network needs a server line that says so."""
    plan = resolve_plan(IMAGE, {f"{SOURCE}/hosts.toml": f'[host."https://{MIRROR}"]\n'})
    expect.client("hosts", hosts(plan), [MIRROR, SOURCE])
    closed = resolve_plan(
        IMAGE,
        {f"{SOURCE}/hosts.toml": f'server = "https://{MIRROR}"\n[host."https://{MIRROR}"]\n'},
    )
    expect.client("hosts with the mirror as server", hosts(closed), [MIRROR, MIRROR])


@scenario(
    "fallback.directory-of-the-image",
    "A directory named for the mirror is not read; the image's registry names it",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_directory_of_the_image(expect: Expectations) -> None:
    """The most common reason why a mirror is never asked, and nothing says so."""
    text = f'server = "https://{SOURCE}"\n[host."https://{MIRROR}"]\n'
    misnamed = resolve_plan(IMAGE, {f"{MIRROR}/hosts.toml": text})
    expect.client("named for the mirror", hosts(misnamed), [SOURCE])
    plan = resolve_plan(IMAGE, {f"{SOURCE}/hosts.toml": text})
    expect.client("named for the registry", hosts(plan), [MIRROR, SOURCE])


@scenario(
    "fallback.default-directory",
    "_default serves every registry without a directory of its own, and only those",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_default_directory(expect: Expectations) -> None:
    """An empty directory of a registry is enough to hide _default, which is easily overlooked."""
    default = {"_default/hosts.toml": f'[host."https://{MIRROR}"]\n'}
    expect.client("no directory", hosts(resolve_plan(IMAGE, default)), [MIRROR, SOURCE])
    hidden = resolve_plan(IMAGE, {**default, f"{SOURCE}/hosts.toml": ""})
    expect.client("an empty file", hosts(hidden), [SOURCE])


@scenario(
    "fallback.docker-hub-names",
    "Docker Hub's directory is docker.io, and its host registry-1.docker.io",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_docker_hub_names(expect: Expectations) -> None:
    """A server line with docker.io, as in the documentation, asks a host that is no registry."""
    mirror = f'[host."https://{MIRROR}"]\n'
    plan = resolve_plan("nginx", {"docker.io/hosts.toml": mirror})
    expect.client("docker.io", hosts(plan), [MIRROR, "registry-1.docker.io"])
    plan = resolve_plan("nginx", {"registry-1.docker.io/hosts.toml": mirror})
    expect.client("registry-1.docker.io", hosts(plan), ["registry-1.docker.io"])
    plan = resolve_plan(
        "nginx", {"docker.io/hosts.toml": f'server = "https://docker.io"\n{mirror}'}
    )
    expect.client("server docker.io", hosts(plan), [MIRROR, "docker.io"])


@scenario(
    "fallback.only-a-server-line",
    "containerd 1.6 ignores a hosts.toml that has only a server line",
    level=INFO,
    refs=(HOSTS_DOC, "measured on containerd 1.6.20, 1.7.24, 1.7.34, 2.1.9"),
)
def test_only_a_server_line(expect: Expectations) -> None:
    """The same file sends pulls to another registry after an upgrade to 1.7.32 or 2.0."""
    tree = {f"{SOURCE}/hosts.toml": f'server = "https://{MIRROR}"\n'}
    expect.client("1.6.20", hosts(resolve_plan(IMAGE, tree, release="1.6.20")), [SOURCE])
    expect.client("2.1.9", hosts(resolve_plan(IMAGE, tree, release="2.1.9")), [MIRROR])


@scenario(
    "fallback.pull-only-mirror",
    "A mirror without the resolve capability is passed over for tags, not for content",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_pull_only_mirror(expect: Expectations) -> None:
    """So the source decides what a tag means, and the mirror carries the bytes."""
    tree = {
        f"{SOURCE}/hosts.toml": f'server = "https://{SOURCE}"\n'
        f'[host."https://{MIRROR}"]\ncapabilities = ["pull"]\n'
    }
    pull = simulate(resolve_plan(IMAGE, tree))
    expect.client(
        "requests",
        asked(pull),
        [
            f"{SOURCE} HEAD manifest 200",
            f"{MIRROR} GET manifest 200",
            f"{MIRROR} GET blob 200",
            f"{MIRROR} GET blob 200",
        ],
    )
    by_digest = resolve_plan(f"{SOURCE}/team/app@sha256:{'0' * 64}", tree)
    expect.client("hosts for a digest", hosts(by_digest), [MIRROR, SOURCE])


@scenario(
    "fallback.push-goes-to-the-mirror",
    "A push goes to the mirror, unless the mirror's capabilities leave push out",
    level=INFO,
    refs=(HOSTS_DOC, MEASURED),
)
def test_push_goes_to_the_mirror(expect: Expectations) -> None:
    """A mirror that takes no push then fails every push of the node, without falling back."""
    push = Ctr(command="push", hosts_dir=CERTS_D)
    plan = resolve_plan(IMAGE, MIRRORED, puller=push)
    expect.client("host pushed to", plan.push.name if plan.push else None, MIRROR)
    limited = {
        f"{SOURCE}/hosts.toml": f'server = "http://{SOURCE}"\n'
        f'[host."http://{MIRROR}"]\ncapabilities = ["pull", "resolve"]\n'
    }
    plan = resolve_plan(IMAGE, limited, puller=push)
    expect.client("with capabilities", plan.push.name if plan.push else None, SOURCE)


@scenario(
    "fallback.every-object-from-the-start",
    "Each object is asked from the first host again: a dead mirror is tried for every layer",
    level=INFO,
    refs=("containerd#4861", "spegel#709", MEASURED),
)
def test_every_object_from_the_start(expect: Expectations) -> None:
    """A mirror that swallows packets costs half a minute for each of them."""
    plan = resolve_plan(IMAGE, MIRRORED)
    pull = simulate(
        plan, {MIRROR: HostBehaviour(unreachable=True)}, image=an_image("three", layers=3)
    )
    tries = [a for a in pull.attempts if a.host == MIRROR]
    expect.client("outcome", pull.outcome, "ok")
    expect.client("tries at the mirror", len(tries), 6)
    expect.client("seconds lost", pull.seconds_lost, 180.0)


@scenario(
    "fallback.web-page-ends-the-pull",
    "A mirror that answers 200 with a web page ends the pull; no other host is asked",
    level=INFO,
    refs=(MEASURED,),
)
def test_web_page_ends_the_pull(expect: Expectations) -> None:
    """A login page in front of the mirror is worse than a mirror that is down."""
    portal = HostBehaviour(rules=(Rule(Action(html=True), kind="manifest-tag"),))
    pull = simulate(resolve_plan(IMAGE, MIRRORED), {MIRROR: portal})
    expect.client("outcome", pull.outcome, "error")
    expect.client("error", pull.error.message if pull.error else None, containing("text/html"))


@scenario(
    "fallback.ctr-is-not-cri",
    "ctr reads nothing of the CRI plugin's configuration, so it does not see the mirror",
    level=INFO,
    refs=("containerd docs/cri/config.md", MEASURED),
)
def test_ctr_is_not_cri(expect: Expectations) -> None:
    """A pull that works with crictl proves nothing about ctr, and the reverse."""
    expect.client("CRI", hosts(resolve_plan(IMAGE, MIRRORED)), [MIRROR, SOURCE])
    expect.client("ctr", hosts(resolve_plan(IMAGE, MIRRORED, puller=Ctr())), [SOURCE])
    told = Ctr(hosts_dir=CERTS_D)
    expect.client(
        "ctr --hosts-dir", hosts(resolve_plan(IMAGE, MIRRORED, puller=told)), [MIRROR, SOURCE]
    )


@scenario(
    "fallback.configs-by-contacted-host",
    "registry.configs names the host that is contacted, port included, not the image's registry",
    level=INFO,
    refs=("containerd docs/cri/registry.md", MEASURED),
)
@pytest.mark.parametrize(
    ("key", "opens"),
    [(MIRROR, True), (SOURCE, False), ("mirror.example", False)],
    ids=["mirror", "registry", "without-port"],
)
def test_configs_by_contacted_host(key: str, opens: bool, expect: Expectations) -> None:
    """The directory below certs.d has nothing to do with it."""
    plan = resolve_plan(IMAGE, MIRRORED, config_toml=config_toml(key))
    guarded = HostBehaviour(challenge=Challenge("basic", "user:secret"))
    pull = simulate(plan, {MIRROR: guarded})
    served = [a.host for a in pull.attempts if a.method == "GET" and a.status == 200]
    expect.client("content from", sorted(set(served)), [MIRROR if opens else SOURCE])
