"""The upstream as a registry, over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import httpx
import pytest

from harness.content import (
    OCI_INDEX,
    Blob,
    Image,
    an_artifact,
    an_image,
    descriptor,
)
from harness.upstream import MockUpstream


def blob_path(blob: Blob) -> str:
    return f"/v2/team/app/blobs/{blob.digest}"


def error_code(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["code"])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/team/app/manifests/none", "MANIFEST_UNKNOWN"),
        (f"/v2/team/app/manifests/sha256:{'0' * 64}", "MANIFEST_UNKNOWN"),
        ("/v2/none/manifests/v1", "MANIFEST_UNKNOWN"),
        (f"/v2/team/app/blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
        ("/v2/team/app/blobs/v1", "BLOB_UNKNOWN"),
        ("/v2/none/tags/list", "NAME_UNKNOWN"),
    ],
)
@pytest.mark.usefixtures("image")
def test_what_is_not_there(client: httpx.Client, path: str, code: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, error_code(answer)) == (404, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/team/app/blobs/uploads/"),
        ("PUT", "/v2/team/app/manifests/v1"),
        ("DELETE", f"/v2/team/app/manifests/sha256:{'0' * 64}"),
        ("PATCH", "/v2/team/app/blobs/uploads/1"),
    ],
)
def test_nothing_can_be_written(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path, content=b"x" * 300_000)
    assert (answer.status_code, error_code(answer)) == (405, "UNSUPPORTED")
    assert client.get("/v2/").status_code == 200


def test_a_part_outside_of_the_blob(client: httpx.Client, image: Image) -> None:
    answer = client.get(blob_path(image.layers[0]), headers={"Range": "bytes=5000-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */4096"


@pytest.mark.parametrize("form", ['"{}"', "{}", '"other", "{}"'])
def test_not_modified(client: httpx.Client, image: Image, form: str) -> None:
    condition = {"If-None-Match": form.format(image.digest)}
    answer = client.get("/v2/team/app/manifests/v1", headers=condition)
    assert (answer.status_code, answer.content) == (304, b"")
    other = {"If-None-Match": '"other"'}
    assert client.get("/v2/team/app/manifests/v1", headers=other).status_code == 200


# -- lists --------------------------------------------------------------------------------------
TAGS = [f"v{n}" for n in range(5)]


def listed(client: httpx.Client, path: str) -> tuple[list[list[str]], httpx.Response]:
    """The pages from *path* on, following Link to the end, and the last answer."""
    pages = []
    while True:
        answer = client.get(path)
        document = answer.json()
        pages.append(document.get("tags", document.get("repositories")))
        if "next" not in answer.links:
            return pages, answer
        path = answer.links["next"]["url"]


@pytest.mark.parametrize(
    ("query", "pages"),
    [
        ("", [TAGS]),
        ("?n=2", [["v0", "v1"], ["v2", "v3"], ["v4"]]),
        ("?n=5", [TAGS]),
        ("?n=100", [TAGS]),
        ("?n=0", [[]]),
        ("?last=v2", [["v3", "v4"]]),
        ("?n=1&last=v3", [["v4"]]),
        ("?last=v", [TAGS]),
        ("?last=z", [[]]),
    ],
)
def test_tags_in_pages(
    upstream: MockUpstream, client: httpx.Client, query: str, pages: list[list[str]]
) -> None:
    upstream.add("team/app", an_image(), tags=TAGS)
    found, last = listed(client, f"/v2/team/app/tags/list{query}")
    assert found == pages
    assert last.json()["name"] == "team/app"


@pytest.mark.parametrize("n", ["-1", "x", "1.5", ""])
@pytest.mark.usefixtures("image")
def test_a_page_size_must_be_a_number(client: httpx.Client, n: str) -> None:
    answer = client.get("/v2/team/app/tags/list", params={"n": n})
    assert (answer.status_code, error_code(answer)) == (400, "PAGINATION_NUMBER_INVALID")


def test_a_registry_may_limit_its_pages(make_upstream: Callable[..., MockUpstream]) -> None:
    upstream = make_upstream(page_size=2)
    upstream.add("team/app", an_image(), tags=TAGS)
    upstream.add("other", an_image())
    upstream.add("third", an_image())
    with httpx.Client(base_url=upstream.url) as client:
        assert listed(client, "/v2/team/app/tags/list")[0] == [TAGS[:2], TAGS[2:4], TAGS[4:]]
        assert listed(client, "/v2/team/app/tags/list?n=100")[0][0] == TAGS[:2]
        assert listed(client, "/v2/_catalog")[0] == [["other", "team/app"], ["third"]]


def test_removal(upstream: MockUpstream, client: httpx.Client, image: Image) -> None:
    layer = image.layers[0]
    upstream.remove("team/app", layer.digest)
    assert client.get(blob_path(layer)).status_code == 404
    upstream.remove("team/app", image.digest)
    assert client.get(f"/v2/team/app/manifests/{image.digest}").status_code == 404
    assert client.get("/v2/team/app/tags/list").json()["tags"] == []
    with pytest.raises(KeyError):
        upstream.remove("team/app", image.digest)


def test_only_manifests_are_tagged(upstream: MockUpstream) -> None:
    with pytest.raises(ValueError, match="not at a blob"):
        upstream.add("team/app", Blob(b"x"), tags=("v1",))
    with pytest.raises(TypeError, match="collection"):
        upstream.add("team/app", an_image(), tags="v1")


def test_referrers(upstream: MockUpstream, client: httpx.Client, image: Image) -> None:
    sbom = upstream.add("team/app", an_artifact("s", subject=image, annotations={"k": "v"}))
    signature = upstream.add(
        "team/app", an_artifact(subject=image, artifact_type="application/vnd.example.signature")
    )
    attached = upstream.add("team/app", an_image("attached", subject=image))
    path = f"/v2/team/app/referrers/{image.digest}"
    answer = client.get(path)
    assert answer.headers["content-type"] == OCI_INDEX
    assert answer.json()["manifests"] == [
        descriptor(sbom) | {"artifactType": sbom.artifact_type, "annotations": {"k": "v"}},
        descriptor(signature) | {"artifactType": signature.artifact_type},
        descriptor(attached) | {"artifactType": attached.config.media_type},
    ]
    filtered = client.get(path, params={"artifactType": signature.artifact_type})
    assert [entry["digest"] for entry in filtered.json()["manifests"]] == [signature.digest]
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert client.get("/v2/team/app/referrers/v1").status_code == 400


def test_an_old_registry_has_no_referrers(
    http: httpx.Client, make_upstream: Callable[..., MockUpstream]
) -> None:
    upstream = make_upstream(referrers=False)
    image = upstream.add("team/app", an_image())
    answer = http.get(f"{upstream.url}/v2/team/app/referrers/{image.digest}")
    assert (answer.status_code, answer.content) == (404, b"")


def test_a_large_blob_is_made_while_sent(upstream: MockUpstream, client: httpx.Client) -> None:
    blob = upstream.add("team/app", Blob.of_size(64 * 2**20, "large"))
    sha256 = hashlib.sha256()
    with client.stream("GET", blob_path(blob)) as answer:
        assert answer.headers["content-length"] == str(blob.size)
        for chunk in answer.iter_raw():
            sha256.update(chunk)
    assert f"sha256:{sha256.hexdigest()}" == blob.digest
    assert upstream.ledger.entries[-1].sent_bytes == blob.size
    part = client.get(blob_path(blob), headers={"Range": "bytes=50000000-50000009"})
    assert part.content == b"".join(blob.chunks(50_000_000, 50_000_010))
