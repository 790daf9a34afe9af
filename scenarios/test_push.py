"""Pushing to a pull-through cache: it is refused in a way that clients understand, and nothing
reaches upstream or the disk."""

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
from harness.suite.scenario import MUST, theme
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
scenario = theme("push", refs=("measured on 2.8.2 to 3.1.1", ERRORS))


# -- blobs -------------------------------------------------------------------------------------
@scenario(
    "upload-refused",
    "A cache opens no upload session, whether or not upstream has the repository",
    refs=("d#3424", DOCS, ERRORS),
)
@pytest.mark.parametrize("repository", ["team/app", "team/new"], ids=["upstream-has", "new"])
def test_upload_refused(
    repository: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """docker gives up at once on UNSUPPORTED; with any other code it retries the layer again and
    again."""
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
    "refusal-is-an-error-body",
    "A refused push has the specified JSON error body",
    level=MUST,
    refs=(ERRORS, "distribution docs: HTTP API V2, API Version Check"),
)
def test_refusal_is_an_error_body(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The user of a client reads the message in this body; without it they see a bare status
    code."""
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
    "single-post-refused",
    "A cache refuses a blob in a single POST",
    refs=(DOCS, "OCI distribution-spec: Single POST"),
)
def test_single_post_refused(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The request carries the blob, so a careless cache would keep bytes that its source never
    had."""
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
    "mount-refused",
    "A cache refuses to mount a blob, even a cached one",
    refs=(DOCS, "OCI distribution-spec: Mounting a blob from another repository"),
)
def test_mount_refused(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A mount costs no bytes and is the one write that a cache could do alone; upstream would not
    know of it."""
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


@scenario("session-unknown", "Requests on an unknown upload session are 4xx, not 5xx")
def test_session_unknown(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A load balancer in front of several caches spreads the parts of a push. A 5xx raises alarms
    and makes clients retry; a 4xx ends the matter."""
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
    "session-forged",
    "An upload state signed by another registry opens no session on a cache",
    refs=("measured on 2.8.2 to 3.1.1", "distribution docs: Configuring a registry, http.secret"),
)
def test_session_forged(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Registries and caches behind one address share http.secret, so a state signed by one is valid
    at all."""
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
    "manifest-refused",
    "A cache refuses every manifest, even the one that upstream has",
    refs=("d#3424", DOCS, PUSHING),
)
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_manifest_refused(
    by: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The last step of every push; it fails here even where all layers "already exist"."""
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


@scenario("broken-manifest-refused", "A cache refuses an invalid manifest with 4xx")
def test_broken_manifest_refused(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Releases parse the body before they check for a proxy, and answer 400. Both answers are
    honest; a 5xx is not."""
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
    "cannot-replace-a-tag",
    "After a refused push a tag still has upstream's image",
    refs=("d#3424", DOCS),
)
def test_cannot_replace_a_tag(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise a client of the cache could give an image of its own to every other client."""
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
    expect.client("the pushed manifest is served", by_digest.status == 200, False)
    expect.disk("tags", cache.disk.tags("team/app"), {"v1": image.digest})
    expect.disk("blobs", cache.disk.blobs(), {image.digest})


# -- whole pushes ------------------------------------------------------------------------------
@scenario(
    "docker-image-upstream",
    "docker push of an image that upstream has finds its layers, then fails at the manifest, and "
    "downloads nothing",
    refs=("d#3424", "moby distribution/push_v2.go", "measured on 2.8.2 to 3.1.1"),
)
def test_docker_image_upstream(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """ "Layer already exists" comes from upstream and looks like success until the last step. HEAD
    alone should not make the cache download every layer."""
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    pushed = docker_push(cache.client, "team/app", "v1", image)

    settle(cache, upstream)
    _expect_refused_at_the_manifest(expect, pushed, image)
    _expect_only_questions(expect, cache, upstream)


@scenario(
    "docker-image-new",
    "docker push of a new image is refused at its first layer",
    refs=("d#3424", "d#1849", "moby distribution/push_v2.go"),
)
@pytest.mark.parametrize("knows_layers", [True, False], ids=["pulled-before", "just-built"])
def test_docker_image_new(
    knows_layers: bool, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """docker sends HEAD only for layers it has pulled or pushed before. It uploads a freshly built
    image directly, which is refused without an upstream request."""
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
    "skopeo-image-upstream",
    "skopeo copy of an image that upstream has finds its blobs, then fails at the manifest, and "
    "downloads nothing",
    refs=("d#3424", "measured on 2.8.2 to 3.1.1 with skopeo 1.9.3"),
)
def test_skopeo_image_upstream(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """CI jobs that copy images with skopeo, podman or buildah fail as docker does."""
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    pushed = skopeo_push(cache.client, "team/app", "v1", image)

    settle(cache, upstream)
    _expect_refused_at_the_manifest(expect, pushed, image)
    _expect_only_questions(expect, cache, upstream)


@scenario(
    "skopeo-image-new",
    "skopeo copy of a new image is refused at its first layer",
    refs=("d#3424", "measured on 2.8.2 to 3.1.1 with skopeo 1.9.3"),
)
def test_skopeo_image_new(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Upstream only receives a HEAD for the layer."""
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
    "nothing-written-upstream", "Only GET and HEAD reach upstream", refs=("d#849", "d#1218", DOCS)
)
def test_nothing_written_upstream(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The cache's upstream account may be allowed to write. Clients of the cache must not be able
    to use that."""
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
    "read-only-proxy",
    "A read-only cache still fills itself and refuses writes",
    refs=("distribution docs: Configuring a registry, readonly", "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
def test_read_only_proxy(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Operators set maintenance.readonly before garbage-collect. It concerns clients' writes only,
    so on a cache it does not make garbage collection safe."""
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
