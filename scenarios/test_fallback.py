"""containerd's fallback order, from configuration files alone: which host is tried for what, and
when the source. test_fallback_played.py sends the requests."""

from __future__ import annotations

import pytest

from harness.content import an_image
from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.simulated_network import HostAction as Action
from harness.nodes.models.simulated_network import HostBehaviour
from harness.nodes.models.simulated_network import HostChallenge as Challenge
from harness.nodes.models.simulated_network import HostRule as Rule
from harness.suite.expectation import Expectations, containing
from harness.suite.scenario import INFO, theme
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

scenario = theme("fallback", level=INFO, refs=(HOSTS_DOC, MEASURED))


@scenario(
    "file-order", "containerd tries the hosts of a hosts.toml in file order, and the source last"
)
def test_file_order(expect: Expectations) -> None:
    """Neither in alphabetical order nor by distance."""
    tree = {
        f"{SOURCE}/hosts.toml": f'server = "https://{SOURCE}"\n'
        '[host."https://zone-b.example"]\n[host."https://zone-a.example"]\n'
    }
    plan = resolve_plan(IMAGE, tree)
    expect.client("hosts", hosts(plan), ["zone-b.example", "zone-a.example", SOURCE])


@scenario(
    "source-without-server",
    "Without a server line containerd still tries the image's own registry last",
    refs=(HOSTS_DOC, "containerd#3850", MEASURED),
)
def test_source_without_server(expect: Expectations) -> None:
    """A cluster that must not leave the network needs a server line that says so."""
    plan = resolve_plan(IMAGE, {f"{SOURCE}/hosts.toml": f'[host."https://{MIRROR}"]\n'})
    expect.client("hosts", hosts(plan), [MIRROR, SOURCE])
    closed = resolve_plan(
        IMAGE,
        {f"{SOURCE}/hosts.toml": f'server = "https://{MIRROR}"\n[host."https://{MIRROR}"]\n'},
    )
    expect.client("hosts with the mirror as server", hosts(closed), [MIRROR, MIRROR])


@scenario(
    "directory-of-the-image",
    "containerd reads the directory of the image's registry, not one named after the mirror",
)
def test_directory_of_the_image(expect: Expectations) -> None:
    """The most common reason why a mirror is never used, without any message."""
    text = f'server = "https://{SOURCE}"\n[host."https://{MIRROR}"]\n'
    misnamed = resolve_plan(IMAGE, {f"{MIRROR}/hosts.toml": text})
    expect.client("named for the mirror", hosts(misnamed), [SOURCE])
    plan = resolve_plan(IMAGE, {f"{SOURCE}/hosts.toml": text})
    expect.client("named for the registry", hosts(plan), [MIRROR, SOURCE])


@scenario("default-directory", "_default applies to every registry without a directory of its own")
def test_default_directory(expect: Expectations) -> None:
    """Even an empty directory for a registry hides _default."""
    default = {"_default/hosts.toml": f'[host."https://{MIRROR}"]\n'}
    expect.client("no directory", hosts(resolve_plan(IMAGE, default)), [MIRROR, SOURCE])
    hidden = resolve_plan(IMAGE, {**default, f"{SOURCE}/hosts.toml": ""})
    expect.client("an empty file", hosts(hidden), [SOURCE])


@scenario(
    "docker-hub-names", "Docker Hub's directory is docker.io, and its host registry-1.docker.io"
)
def test_docker_hub_names(expect: Expectations) -> None:
    """A server line with docker.io, as in the documentation, points to a host that is not a
    registry."""
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
    "only-a-server-line",
    "containerd 1.6 ignores a hosts.toml that only has a server line",
    refs=(HOSTS_DOC, "measured on containerd 1.6.20, 1.7.24, 1.7.34, 2.1.9"),
)
def test_only_a_server_line(expect: Expectations) -> None:
    """The same file redirects pulls to another registry after an upgrade to 1.7.32 or 2.0."""
    tree = {f"{SOURCE}/hosts.toml": f'server = "https://{MIRROR}"\n'}
    expect.client("1.6.20", hosts(resolve_plan(IMAGE, tree, release="1.6.20")), [SOURCE])
    expect.client("2.1.9", hosts(resolve_plan(IMAGE, tree, release="2.1.9")), [MIRROR])


@scenario(
    "pull-only-mirror",
    "A mirror without the resolve capability is skipped for tags and used for content",
)
def test_pull_only_mirror(expect: Expectations) -> None:
    """The source decides what a tag means, and the mirror carries the bytes."""
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
    "push-goes-to-the-mirror", "A push goes to the mirror unless its capabilities exclude push"
)
def test_push_goes_to_the_mirror(expect: Expectations) -> None:
    """A mirror that takes no push then fails every push of the node, without a fallback."""
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
    "every-object-from-the-start",
    "containerd starts from the first host for each object, so a dead mirror is tried for every "
    "layer",
    refs=("containerd#4861", "spegel#709", MEASURED),
)
def test_every_object_from_the_start(expect: Expectations) -> None:
    """A mirror that drops packets costs half a minute for each of them."""
    plan = resolve_plan(IMAGE, MIRRORED)
    pull = simulate(
        plan, {MIRROR: HostBehaviour(unreachable=True)}, image=an_image("three", layers=3)
    )
    tries = [a for a in pull.attempts if a.host == MIRROR]
    expect.client("outcome", pull.outcome, "ok")
    expect.client("tries at the mirror", len(tries), 6)
    expect.client("seconds lost", pull.seconds_lost, 180.0)


@scenario(
    "web-page-ends-the-pull",
    "A mirror that answers 200 with a web page ends the pull without a fallback",
    refs=(MEASURED,),
)
def test_web_page_ends_the_pull(expect: Expectations) -> None:
    """A login page in front of the mirror is worse than a mirror that is down."""
    portal = HostBehaviour(rules=(Rule(Action(html=True), kind="manifest-tag"),))
    pull = simulate(resolve_plan(IMAGE, MIRRORED), {MIRROR: portal})
    expect.client("outcome", pull.outcome, "error")
    expect.client("error", pull.error.message if pull.error else None, containing("text/html"))


@scenario(
    "ctr-is-not-cri",
    "ctr does not read the CRI plugin's configuration and so does not use the mirror",
    refs=("containerd docs/cri/config.md", MEASURED),
)
def test_ctr_is_not_cri(expect: Expectations) -> None:
    """A pull that works with crictl proves nothing about ctr, and the reverse."""
    expect.client("CRI", hosts(resolve_plan(IMAGE, MIRRORED)), [MIRROR, SOURCE])
    expect.client("ctr", hosts(resolve_plan(IMAGE, MIRRORED, puller=Ctr())), [SOURCE])
    reported = Ctr(hosts_dir=CERTS_D)
    expect.client(
        "ctr --hosts-dir", hosts(resolve_plan(IMAGE, MIRRORED, puller=reported)), [MIRROR, SOURCE]
    )


@scenario(
    "configs-by-contacted-host",
    "registry.configs is keyed by the contacted host with its port, not by the image's registry",
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
