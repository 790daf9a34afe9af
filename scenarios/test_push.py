"""Pushing to a pull-through cache: it is refused, in a way that clients understand, and nothing of
it reaches upstream or the disk."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.clients.push import Push, docker_push, skopeo_push
from harness.content import OCI_MANIFEST, Image, an_image
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, SHOULD, scenario
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.steps import OBSERVED, asked, settle

DOCS = "distribution docs: Registry as a pull through cache"
ERRORS = "OCI distribution-spec: Error Codes"
PUSHING = "OCI distribution-spec: Push"

UPLOADS = "/v2/team/app/blobs/uploads/"
SESSION = UPLOADS + "0190163d-8694-739b-aea5-966c26f8ad91"
MANIFESTS = "/v2/team/app/manifests/"
AS_OCI = {"Content-Type": OCI_MANIFEST}


# -- blobs -------------------------------------------------------------------------------------
@scenario(
    "push.upload-refused",
    "A proxy opens no upload session, whether or not upstream has the repository",
    level=SHOULD,
    refs=("d#3424", DOCS, ERRORS),
)
@pytest.mark.parametrize("repository", ["team/app", "team/new"], ids=["upstream-has", "new"])
def test_upload_refused(
    repository: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """docker gives up at once when it reads UNSUPPORTED; with any other code it begins the layer
    again and again."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    before = cache.disk.files()
    upstream.ledger.clear()

    answer = cache.post(f"/v2/{repository}/blobs/uploads/", content=b"")

    expect.client("status", answer.status, 405)
    expect.client("error code", answer.error_code, "UNSUPPORTED")
    expect.client("Location", answer.headers.get("Location"), None)
    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("new files", _added(cache, before), [])


@scenario(
    "push.refusal-is-an-error-body",
    "The refusal of a push has the JSON error body of the specification",
    level=MUST,
    refs=(ERRORS, "distribution docs: HTTP API V2, API Version Check"),
)
def test_refusal_is_an_error_body(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """What the user of a client reads is the message in this body; without it they see a bare
    status code."""
    cache = target.proxy(upstream)

    answer = cache.post(UPLOADS, content=b"")

    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    expect.client("media type", media_type, "application/json")
    expect.client(
        "body",
        answer.json() if media_type == "application/json" else answer.body,
        {"errors": [{"code": "UNSUPPORTED", "message": "The operation is unsupported."}]},
    )
    expect.client(
        "API version", answer.headers.get("Docker-Distribution-Api-Version"), "registry/2.0"
    )


@scenario(
    "push.single-post-refused",
    "A proxy does not take a blob in a single POST",
    level=SHOULD,
    refs=(DOCS, "OCI distribution-spec: Single POST"),
)
def test_single_post_refused(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The blob comes with the question here, so that a careless cache would keep bytes that its
    source never had."""
    image = an_image()
    layer = image.layers[0]
    cache = target.proxy(upstream)
    before = cache.disk.files()
    upstream.ledger.clear()

    answer = cache.post(f"{UPLOADS}?digest={layer.digest}", content=layer.content)

    expect.client("status", answer.status, 405)
    expect.client("error code", answer.error_code, "UNSUPPORTED")
    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("new files", _added(cache, before), [])


@scenario(
    "push.mount-refused",
    "A proxy mounts no blob into another repository, even one that it has cached",
    level=SHOULD,
    refs=(DOCS, "OCI distribution-spec: Mounting a blob from another repository"),
)
def test_mount_refused(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A mount costs no bytes and is the one write that a cache could do by itself; upstream
    would not know of it."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    digest = image.layers[0].digest
    cache = target.proxy(upstream)
    cache.get(f"/v2/team/app/blobs/{digest}")
    settle(cache, upstream)
    upstream.ledger.clear()

    answer = cache.post(f"/v2/team/new/blobs/uploads/?mount={digest}&from=team/app", content=b"")

    expect.client("status", answer.status, 405)
    expect.client("error code", answer.error_code, "UNSUPPORTED")
    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("repositories", cache.disk.repositories(), ["team/app"])


@scenario(
    "push.session-unknown",
    "Requests on an upload session that nobody opened are refused, not failed",
    level=SHOULD,
    refs=("measured on 2.8.2 to 3.1.1", ERRORS),
)
def test_session_unknown(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A load balancer before several caches sends the parts of a push to different ones. A 5xx
    there raises alarms and makes clients try again; a 4xx ends the matter."""
    cache = target.proxy(upstream)
    before = cache.disk.files()
    upstream.ledger.clear()

    for method in ("GET", "PATCH", "PUT", "DELETE"):
        content = b"layer" if method == "PATCH" else None
        answer = cache.request(method, SESSION, content=content)
        expect.client(f"status of {method}", answer.status, any_of(404, 405))

    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("new files", _added(cache, before), [])


@scenario(
    "push.session-forged",
    "A signed upload state from elsewhere opens no way into a proxy",
    level=SHOULD,
    refs=("measured on 2.8.2 to 3.1.1", "distribution docs: Configuring a registry, http.secret"),
)
def test_session_forged(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Registries and caches behind one address share http.secret, so that a state that one of them
    signed is valid at all of them."""
    secret = "shared-by-all"
    cache = target.proxy(upstream, secret=secret)
    before = cache.disk.files()
    upstream.ledger.clear()

    for method in ("PATCH", "PUT", "DELETE"):
        query = f"?_state={_signed_state(secret)}"
        if method == "PUT":
            query += f"&digest={an_image().layers[0].digest}"
        answer = cache.request(method, SESSION + query, content=b"")
        expect.client(f"status of {method}", answer.status, any_of(404, 405))

    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("new files", _added(cache, before), [])


# -- manifests ---------------------------------------------------------------------------------
@scenario(
    "push.manifest-refused",
    "A proxy takes no manifest, not even the one that upstream has",
    level=SHOULD,
    refs=("d#3424", DOCS, PUSHING),
)
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_manifest_refused(
    by: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The last step of every push; here it fails even where all layers "already exist"."""
    same = upstream.add("team/app", an_image(), tags=("v1",))
    other = an_image("other")
    cache = target.proxy(upstream)
    before = cache.disk.files()
    upstream.ledger.clear()

    for name, image in (("upstream's manifest", same), ("a new manifest", other)):
        reference = "v1" if by == "tag" else image.digest
        answer = cache.put(MANIFESTS + reference, content=image.content, headers=AS_OCI)
        expect.client(f"status for {name}", answer.status, 405)
        expect.client(f"error code for {name}", answer.error_code, "UNSUPPORTED")

    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("new files", _added(cache, before), [])


@scenario(
    "push.broken-manifest-refused",
    "A manifest that cannot be read is refused as well",
    level=SHOULD,
    refs=("measured on 2.8.2 to 3.1.1", ERRORS),
)
def test_broken_manifest_refused(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Releases read the body before they remember that they are proxies, and answer 400. Either
    answer is honest; a 5xx would not be."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    before = cache.disk.files()
    upstream.ledger.clear()

    for name, body in (("no JSON", b"{"), ("an empty body", b""), ("a list", b"[]")):
        answer = cache.put(MANIFESTS + "v1", content=body, headers=AS_OCI)
        expect.client(f"status for {name}", answer.status, any_of(400, 405))
        expect.client(
            f"error code for {name}", answer.error_code, any_of("MANIFEST_INVALID", "UNSUPPORTED")
        )

    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("new files", _added(cache, before), [])


@scenario(
    "push.cannot-replace-a-tag",
    "After a refused push a tag still stands for what upstream has",
    level=SHOULD,
    refs=("d#3424", DOCS),
)
def test_cannot_replace_a_tag(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise whoever reaches the cache could hand an image of their own to everybody else."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    intruder = an_image("intruder")
    cache = target.proxy(upstream)
    cache.get(MANIFESTS + "v1", headers=ACCEPT)

    cache.put(MANIFESTS + "v1", content=intruder.content, headers=AS_OCI)

    online = cache.get(MANIFESTS + "v1", headers=ACCEPT)
    upstream.down()
    offline = cache.get(MANIFESTS + "v1", headers=ACCEPT)
    by_digest = cache.get(MANIFESTS + intruder.digest, headers=ACCEPT)
    expect.client("digest with upstream up", online.digest, image.digest)
    expect.client("digest with upstream down", offline.digest, image.digest)
    expect.client("the intruder is served", by_digest.status == 200, False)
    expect.disk("tags", cache.disk.tags("team/app"), {"v1": image.digest})
    expect.disk("blobs", cache.disk.blobs(), {image.digest})


# -- whole pushes ------------------------------------------------------------------------------
@scenario(
    "push.docker-image-upstream",
    "docker push of an image that upstream has: layers exist, then the manifest is refused, and "
    "nothing is downloaded for it",
    level=SHOULD,
    refs=("d#3424", "moby distribution/push_v2.go", "measured on 2.8.2 to 3.1.1"),
)
def test_docker_image_upstream(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """ "Layer already exists" comes from upstream and looks like success up to the last step. The
    question alone should not make the cache download every layer."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    pushed = docker_push(cache.client, "team/app", "v1", image)

    settle(cache, upstream)
    _expect_refused_at_the_manifest(expect, pushed, image)
    _expect_only_questions(expect, cache, upstream)


@scenario(
    "push.docker-image-new",
    "docker push of an image that upstream lacks is refused at its first layer",
    level=SHOULD,
    refs=("d#3424", "d#1849", "moby distribution/push_v2.go"),
)
@pytest.mark.parametrize("knows_layers", [True, False], ids=["pulled-before", "just-built"])
def test_docker_image_new(
    knows_layers: bool, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """docker asks with HEAD only for layers that it has pulled or pushed before. A freshly built
    image is uploaded unasked, and refused without a word to upstream."""
    cache = target.proxy(upstream)
    before = cache.disk.files()
    upstream.ledger.clear()
    image = an_image()

    pushed = docker_push(cache.client, "team/app", "v1", image, knows_layers=knows_layers)

    layer = image.layers[-1].digest
    questions = [f"HEAD /v2/team/app/blobs/{layer}"] if knows_layers else []
    _expect_refused_at_the_upload(expect, pushed)
    expect.upstream("requests", asked(upstream), questions)
    expect.disk("new files", _added(cache, before), [])


@scenario(
    "push.skopeo-image-upstream",
    "skopeo copy of an image that upstream has: blobs exist, then the manifest is refused, and "
    "nothing is downloaded for it",
    level=SHOULD,
    refs=("d#3424", "measured on 2.8.2 to 3.1.1 with skopeo 1.9.3"),
)
def test_skopeo_image_upstream(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """CI jobs that copy images with skopeo, podman or buildah meet the same wall as docker."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    pushed = skopeo_push(cache.client, "team/app", "v1", image)

    settle(cache, upstream)
    _expect_refused_at_the_manifest(expect, pushed, image)
    _expect_only_questions(expect, cache, upstream)


@scenario(
    "push.skopeo-image-new",
    "skopeo copy of an image that upstream lacks is refused at its first layer",
    level=SHOULD,
    refs=("d#3424", "measured on 2.8.2 to 3.1.1 with skopeo 1.9.3"),
)
def test_skopeo_image_new(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Upstream is asked whether it has the layer, and that is all it ever hears."""
    cache = target.proxy(upstream)
    before = cache.disk.files()
    upstream.ledger.clear()
    image = an_image()

    pushed = skopeo_push(cache.client, "team/app", "v1", image)

    _expect_refused_at_the_upload(expect, pushed)
    expect.upstream(
        "layers asked for",
        set(asked(upstream)),
        {f"HEAD /v2/team/app/blobs/{image.layers[0].digest}"},
    )
    expect.disk("new files", _added(cache, before), [])


@scenario(
    "push.nothing-written-upstream",
    "No method but GET and HEAD ever reaches upstream",
    level=SHOULD,
    refs=("d#849", "d#1218", DOCS),
)
def test_nothing_written_upstream(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The cache's account at upstream may well be allowed to write. Nobody who only reaches the
    cache may use it for that."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    blob = image.layers[0].digest
    cache = target.proxy(upstream)
    before = cache.disk.files()

    answers = [
        cache.request(method, path, content=b"x")
        for method in ("POST", "PUT", "PATCH", "DELETE")
        for path in (
            "/v2/",
            "/v2/_catalog",
            "/v2/team/app/tags/list",
            MANIFESTS + "v1",
            MANIFESTS + image.digest,
            f"/v2/team/app/blobs/{blob}",
            UPLOADS,
            SESSION,
            f"/v2/team/app/referrers/{image.digest}",
        )
    ]

    methods = {entry.method for entry in upstream.ledger.entries} - {"GET", "HEAD"}
    expect.client("server errors", sum((a.status or 599) >= 500 for a in answers), 0)
    expect.upstream("other methods", methods, set())
    expect.disk("new files", _added(cache, before), [])


@scenario(
    "push.read-only-proxy",
    "A read-only cache still fills itself, and refuses writes as ever",
    level=SHOULD,
    refs=("distribution docs: Configuring a registry, readonly", "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
def test_read_only_proxy(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Operators set maintenance.readonly before garbage-collect. It is about clients' writes: the
    cache's own go on, so that on a proxy it does not make GC safe."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, readonly=True)

    posted = cache.post(UPLOADS, content=b"")
    put = cache.put(MANIFESTS + "v1", content=image.content, headers=AS_OCI)
    deleted = cache.delete(MANIFESTS + image.digest)
    pulled = cache.get(MANIFESTS + "v1", headers=ACCEPT)

    expect.client("status of POST", posted.status, 405)
    expect.client("status of PUT", put.status, 405)
    expect.client("status of DELETE", deleted.status, 405)
    expect.client("status of GET", pulled.status, 200)
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), 1)
    expect.disk("blobs", cache.disk.blobs(), {image.digest})


# -- helpers -----------------------------------------------------------------------------------
def _added(cache: RunningRegistry, before: list[str]) -> list[str]:
    return sorted(set(cache.disk.files()) - set(before))


def _signed_state(secret: str) -> str:
    """As distribution signs the state of an upload: url-safe base64 of HMAC and JSON."""
    state = json.dumps(
        {
            "Name": "team/app",
            "UUID": SESSION.removeprefix(UPLOADS),
            "Offset": 0,
            "StartedAt": "2024-01-01T00:00:00Z",
        }
    ).encode()
    signature = hmac.new(secret.encode(), state, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(signature + state).decode()


def _expect_refused_at_the_manifest(expect: Expectations, pushed: Push, image: Image) -> None:
    blobs = {blob.digest for blob in image.blobs}
    expect.client("blobs that already exist", set(pushed.already_there), blobs)
    expect.client("refused step", pushed.refused_step, "manifest")
    refusal = pushed.refusal
    expect.client("status of the refusal", refusal and refusal.status, 405)
    expect.client("error code of the refusal", refusal and refusal.error_code, "UNSUPPORTED")


def _expect_only_questions(
    expect: Expectations, cache: RunningRegistry, upstream: MockUpstream
) -> None:
    other = {entry.method for entry in upstream.ledger.entries} - {"GET", "HEAD"}
    expect.upstream("other methods", other, set())
    expect.upstream("blob bodies", upstream.ledger.count("GET", kind="blob"), 0)
    expect.disk("blobs", len(cache.disk.blobs()), 0)


def _expect_refused_at_the_upload(expect: Expectations, pushed: Push) -> None:
    expect.client("blobs that already exist", pushed.already_there, [])
    expect.client("refused step", pushed.refused_step, "upload")
    refusal = pushed.refusal
    expect.client("status of the refusal", refusal and refusal.status, 405)
    expect.client("error code of the refusal", refusal and refusal.error_code, "UNSUPPORTED")
