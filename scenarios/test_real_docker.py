"""A real Docker daemon in front of the cache: which hosts it contacts, with which login, and
what it prints."""

from __future__ import annotations

import re

import pytest

from harness.clients.dockerd import HUB_LOGIN, DockerDaemon
from harness.clients.source_network import SourceNetwork
from harness.content import an_index
from harness.suite.expectation import Expectations, containing
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, SHOULD, Need, theme
from harness.upstream import MockUpstream, RateLimit
from scenarios.real_clients import (
    HUB,
    NEEDS,
    NO_USE,
    SOURCE,
    TAG,
    a_mirror,
    a_new_image,
    asked_cache,
    asked_source,
    downloaded,
    known_upstream,
    name_of,
    pull_of_one_layer,
)
from scenarios.steps import MakeUpstream, credentials

MIRROR_DOC = "Docker docs: Mirror the Docker Hub library"
MEASURED = "measured on docker 20.10.24"
scenario = theme("docker", level=INFO, needs=NEEDS)


@scenario(
    "mirror-first",
    "docker pulls a Docker Hub image from its registry mirror only, if the mirror has it",
    level=SHOULD,
    refs=(MIRROR_DOC, MEASURED),
)
def test_mirror_first(
    docker: DockerDaemon,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Docker Hub sees the cache's account and address, never the hosts'."""
    known_upstream(upstream)
    cache = target.proxy(upstream)
    internet.lead({HUB: upstream.url})
    docker.use_mirrors(cache.url)
    pull = docker.docker("pull", f"app:{TAG}")
    expect.client("docker pull succeeds", pull.ok, True)
    wanted = pull_of_one_layer(head=True)
    expect.client("asked of the cache", asked_cache(cache, wanted), wanted)
    expect.upstream("hosts of the internet that were tried", internet.asked, [])


@scenario(
    "falls-back",
    "docker silently pulls from Docker Hub when the mirror is down, lacks the image, is limited "
    "or asks for a password",
    refs=(MIRROR_DOC, "moby#33071", MEASURED),
    needs=NEEDS | {Need.RESTART},
)
@pytest.mark.parametrize("mirror", NO_USE)
def test_falls_back(
    mirror: str,
    docker: DockerDaemon,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Only Docker Hub's rate limit and the bill reveal a broken mirror."""
    hub = make_upstream()
    cache = a_mirror(mirror, target, upstream, known_upstream(hub), "library/app")
    internet.lead({HUB: hub.url})
    docker.use_mirrors(cache.url)
    pull = docker.docker("pull", f"app:{TAG}")
    expect.client("docker pull succeeds", pull.ok, True)
    expect.client("it names the mirror", name_of(cache) in pull.output, False)
    expect.upstream("blobs from Docker Hub", hub.ledger.count("GET", kind="blob", status=200), 2)
    expect.upstream("credentials", credentials(hub), {"none"})


@scenario(
    "mirror-is-for-docker-hub",
    "docker uses a registry mirror for Docker Hub's images only",
    refs=(MIRROR_DOC, "moby#18818", MEASURED),
)
def test_mirror_is_for_docker_hub(
    docker: DockerDaemon,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A cache of a private registry has to be named in the image, or take over the registry's
    name."""
    known_upstream(upstream, "team/app")
    cache = target.proxy(upstream)
    upstream.ledger.clear()
    internet.lead({SOURCE: upstream.url})
    docker.use_mirrors(cache.url)
    pull = docker.docker("pull", f"{SOURCE}/team/app:{TAG}")
    expect.client("docker pull succeeds", pull.ok, True)
    expect.client("asked of the cache", asked_cache(cache), {})
    wanted = pull_of_one_layer(head=True)
    expect.upstream("asked of the registry itself", asked_source(upstream), wanted)


@scenario(
    "by-name",
    "docker pulls by the cache's own name as from any registry, by tag and by digest",
    level=SHOULD,
    refs=("distribution docs: Registry as a pull through cache", MEASURED),
)
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_by_name(
    by: str,
    docker: DockerDaemon,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """This is how images of other registries than Docker Hub get into Docker through a cache."""
    image = known_upstream(upstream, "team/app")
    cache = target.proxy(upstream)
    internet.lead({})
    reference = f":{TAG}" if by == "tag" else f"@{image.digest}"
    pull = docker.docker("pull", f"{name_of(cache)}/team/app{reference}")
    expect.client("docker pull succeeds", pull.ok, True)
    expect.client("it names the digest", f"Digest: {image.digest}" in pull.output, True)
    again = docker.docker("pull", f"{name_of(cache)}/team/app{reference}")
    expect.client("a second pull", again.output, containing("Image is up to date"))
    wanted = pull_of_one_layer(head=by == "tag")
    if by == "tag":
        wanted["HEAD manifest 200"] += 1
    expect.client("asked of the cache", asked_cache(cache, wanted), wanted)


@scenario(
    "hub-login-goes-to-the-mirror",
    "docker gives the Docker Hub login to a mirror that asks for one, never the mirror's own",
    refs=("moby#30880", "moby#42022", MEASURED),
)
@pytest.mark.parametrize("login", ["hub-fits", "hub-differs", "of-the-mirror"])
def test_hub_login_goes_to_the_mirror(
    login: str,
    docker: DockerDaemon,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A mirror with a password only works for hosts that use the same one at Docker Hub, and its
    operator could read their Docker Hub login."""
    hub = make_upstream()
    known_upstream(hub)
    known_upstream(upstream)
    cache = target.proxy(upstream, htpasswd={"user": "secret"})
    internet.lead({HUB: hub.url})
    docker.use_mirrors(cache.url)
    if login == "of-the-mirror":
        docker.log_in(name_of(cache), "user", "secret")
    else:
        docker.log_in(HUB_LOGIN, "user", "secret" if login == "hub-fits" else "of the hub")
    pull = docker.docker("pull", f"app:{TAG}")
    expect.client("docker pull succeeds", pull.ok, True)
    fits = login == "hub-fits"
    wanted = pull_of_one_layer(head=True) if fits else {}
    seen = asked_cache(cache, wanted if fits else None)
    served = {what: count for what, count in seen.items() if what.endswith(" 200")}
    expect.client("served by the mirror", served, wanted)
    expect.upstream("Docker Hub was asked", internet.asked, [] if fits else [HUB])
    expect.upstream(
        "credentials that the mirror's upstream saw",
        credentials(upstream) - {"none"},
        set(),
    )


@scenario(
    "login",
    "docker login at a cache with htpasswd succeeds with the right password only",
    level=SHOULD,
    refs=("Docker docs: docker login", MEASURED),
)
@pytest.mark.parametrize("password", ["right", "wrong"])
def test_login(
    password: str,
    docker: DockerDaemon,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """The login is checked at /v2/, so /v2/ has to ask for it."""
    known_upstream(upstream)
    cache = target.proxy(upstream, htpasswd={"user": "right"})
    upstream.ledger.clear()
    internet.lead({})
    words = ("login", name_of(cache), "--username", "user", "--password-stdin")
    login = docker.docker(*words, given=password)
    right = password == "right"
    expect.client("docker login succeeds", login.ok, right)
    reported = "Login Succeeded" if right else "401 Unauthorized"
    expect.client("output", login.output, containing(reported))
    expect.upstream("requests that this cost", upstream.ledger.lines(), [])
    pull = docker.docker("pull", f"{name_of(cache)}/library/app:{TAG}")
    expect.client("docker pull succeeds afterwards", pull.ok, right)


@scenario(
    "push-of-what-upstream-has",
    "docker push of an image that upstream has reports existing layers and is then refused",
    refs=("d#3424", "d#1218", MEASURED),
)
def test_push_of_what_upstream_has(
    docker: DockerDaemon,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """It looks like a push that nearly worked. Nothing was written anywhere."""
    known_upstream(upstream, "team/app")
    cache = target.proxy(upstream)
    internet.lead({SOURCE: upstream.url})
    name = f"{name_of(cache)}/team/app:{TAG}"
    docker.docker("pull", f"{SOURCE}/team/app:{TAG}")
    docker.docker("tag", f"{SOURCE}/team/app:{TAG}", name)
    upstream.ledger.clear()
    push = docker.docker("push", name)
    expect.client("docker push succeeds", push.ok, False)
    expect.client("what it says of the layer", push.output, containing("Layer already exists"))
    expect.client("last line of output", push.output.strip().splitlines()[-1], "unsupported")
    wanted = {"HEAD blob 200": 2, "PUT manifest 405": 1}
    expect.client("asked of the cache", asked_cache(cache, wanted), wanted)
    expect.upstream(
        "other methods than GET and HEAD",
        {entry.method for entry in upstream.ledger.entries} - {"GET", "HEAD"},
        set(),
    )
    expect.upstream("blobs that were downloaded", downloaded(upstream), 0)


@scenario(
    "push-of-what-is-new",
    "docker push of a new image is refused at its first layer and retried without a message",
    refs=("d#3424", "d#849", MEASURED),
)
def test_push_of_what_is_new(
    docker: DockerDaemon,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """docker shows "Retrying" five times, with growing pauses, for most of a minute. That looks
    like a network failure."""
    source = make_upstream()
    known_upstream(source, "team/app")
    cache = target.proxy(upstream)
    internet.lead({SOURCE: source.url})
    name = f"{name_of(cache)}/team/app:{TAG}"
    docker.docker("pull", f"{SOURCE}/team/app:{TAG}")
    docker.docker("tag", f"{SOURCE}/team/app:{TAG}", name)
    with docker.begun("push", name) as push:
        reported = push.await_output(re.compile("Retrying in"), timeout=10.0)
        wanted = {"HEAD blob 404": 1, "POST upload 405": 2}
        asked = asked_cache(cache, wanted, timeout=15.0)
    expect.client("it says that it tries again", reported is not None, True)
    expect.client("asked of the cache so far", asked, wanted)


@scenario(
    "one-platform-of-many",
    "docker's first pull of a multi-platform image costs two counted manifests at Docker Hub, "
    "the next host none",
    level=SHOULD,
    refs=("d#3407", "Docker docs: Docker Hub pull usage and limits", MEASURED),
)
def test_one_platform_of_many(
    docker: DockerDaemon,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Docker Hub counts each GET of a manifest: the index and the platform's image."""
    platforms = ("linux/amd64", "linux/arm64", "linux/s390x")
    index = an_index(*(a_new_image(platform=one) for one in platforms))
    upstream.add("library/app", index, tags=(TAG,))
    limit = upstream.limit(RateLimit(100))
    cache = target.proxy(upstream)
    internet.lead({})
    docker.use_mirrors(cache.url)
    first = docker.docker("pull", f"app:{TAG}")
    expect.client("docker pull succeeds", first.ok, True)
    expect.upstream("requests that counted", limit.used, 2)
    expect.upstream("blobs that were downloaded", downloaded(upstream), 2)
    docker.forget()
    second = docker.docker("pull", f"app:{TAG}")
    expect.client("docker pull by another host", second.ok, True)
    expect.upstream("requests that counted by then", limit.used, 2)
