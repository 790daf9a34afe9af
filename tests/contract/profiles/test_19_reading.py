"""Section 19, what clients read: addresses, lists, manifests, blobs."""

from __future__ import annotations

import pytest

from harness.content import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    an_image,
    an_index,
)
from harness.http.client import Answer
from harness.targets import RunningRegistry
from reference_registry.digest import digest_of
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    chosen,
    detail,
    failure,
    manifest_path,
    push,
    push_blob,
)
from tests.contract.profiles.table import SAME, like, row

_LAYER = IMAGE.layers[0]
_ABSENT = digest_of(b"absent")
_TAGS = f"/v2/{REPOSITORY}/tags/list"
_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


# -- addresses and methods ------------------------------------------------------------------------
@row(
    "19.1",
    {
        "GET": (200, b"{}"),
        "HEAD": (200, b""),
        "POST": (200, b"{}"),
        "OPTIONS": (200, b"{}"),
        "/v2": (301, "/v2/"),
        "/": (200, b"", "no-cache"),
    },
)
def test_base(bench: Bench) -> object:
    registry, seen = bench.standard(), dict[str, object]()
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        answer = registry.request(method, "/v2/")
        seen[method] = answer.status, answer.body
    moved, top = registry.get("/v2"), registry.get("/")
    seen["/v2"] = moved.status, moved.headers["Location"]
    seen["/"] = top.status, top.body, top.headers.get("Cache-Control")
    return seen


@row("19.2", [405, 405])
def test_head_of_lists(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    return [registry.head(path).status for path in (_TAGS, "/v2/_catalog")]


# -- manifests ------------------------------------------------------------------------------------
_HEADERS = {
    "Content-Type": IMAGE.media_type,
    "Content-Length": str(IMAGE.size),
    "Docker-Content-Digest": IMAGE.digest,
    "Etag": f'"{IMAGE.digest}"',
}


@row("19.3", _HEADERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("reference", ["v1", str(IMAGE.digest)], ids=["tag", "digest"])
def test_headers_of_a_manifest(bench: Bench, method: str, reference: str) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    answer = registry.request(method, manifest_path(reference), headers=ANY)
    return chosen(answer, *_HEADERS)


@row("19.4", [304, 304, 200, 200, 200, 304])
def test_conditions(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    digest = str(IMAGE.digest)
    tags = (f'"{digest}"', digest, "*", f'W/"{digest}"', f'"{digest}", "other"')
    asked = [(manifest_path("v1"), tag) for tag in tags]
    asked.append((manifest_path(_ABSENT), f'"{_ABSENT}"'))
    return [registry.get(path, headers=ANY | {"If-None-Match": tag}).status for path, tag in asked]


def _served(registry: RunningRegistry, reference: str, *accepted: str) -> Answer:
    accept = ", ".join(accepted) if accepted else None
    return registry.get(manifest_path(reference), headers={"Accept": accept})


_NO_OCI = "OCI manifest found, but accept header does not support OCI manifests"
_NO_INDEX = "OCI index found, but accept header does not support OCI indexes"


def _refused(answer: Answer) -> object:
    """The status, or code and message of the error."""
    if answer.status == 200:
        return 200
    error = answer.json()["errors"][0]
    return answer.status, error["code"], error["message"]


@row("19.12", [(404, "MANIFEST_UNKNOWN", _NO_OCI)] * 3)
def test_oci_manifest_for_others(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    answers = (
        _served(registry, "v1"),
        _served(registry, "v1", "*/*"),
        _served(registry, IMAGE.digest, DOCKER_MANIFEST),
    )
    return [_refused(answer) for answer in answers]


@row("19.13", [(404, "MANIFEST_UNKNOWN", _NO_INDEX)] * 2, [200, 200])
def test_oci_index_for_others(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, index := an_index(IMAGE), "v1")
    answers = (_served(registry, "v1"), _served(registry, index.digest, OCI_MANIFEST))
    return [_refused(answer) for answer in answers]


def _is(answer: Answer, **known: Manifest) -> tuple[object, ...]:
    """Status, type, and which of *known* it is, by body and by digest."""
    names = {manifest.content: name for name, manifest in known.items()}
    digests = {str(manifest.digest): name for name, manifest in known.items()}
    found = names.get(answer.body, "another"), digests.get(answer.digest or "", "another")
    return answer.status, answer.headers["Content-Type"], *found


@row(
    "19.14",
    (200, _SCHEMA1, "another", "another"),
    (200, DOCKER_MANIFEST, "image", "image"),
)
def test_schema2_by_tag_for_others(bench: Bench) -> object:
    image = an_image(oci=False)
    registry = bench.standard()
    push(registry, image, "v1")
    return _is(_served(registry, "v1"), image=image)


@row("19.14", ["config", "manifest"], ["manifest"])
def test_schema2_by_tag_for_others_through_a_proxy(bench: Bench) -> object:
    image = bench.upstream.add(REPOSITORY, an_image(oci=False), tags=("old",))
    cache = bench.proxy()
    _served(cache, "old")
    bench.settle(cache)
    names = {image.digest: "manifest", image.config.digest: "config"}
    return sorted(name for digest, name in names.items() if cache.disk.has_blob(digest))


@row(
    "19.15",
    [(200, DOCKER_MANIFEST, "child", "child"), (200, _SCHEMA1, "another", "another")],
    [(200, DOCKER_MANIFEST, "child", "child"), (400, "MANIFEST_INVALID")],
)
def test_list_by_tag_for_others(bench: Bench) -> object:
    child = an_image(oci=False)
    registry = bench.standard()
    arm = an_image("arm", oci=False, platform="linux/arm64")
    push(registry, an_index(arm, child, oci=False), "v1")
    answers = [_served(registry, "v1", DOCKER_MANIFEST), _served(registry, "v1")]
    return [
        _is(answer, child=child) if answer.status == 200 else failure(answer) for answer in answers
    ]


@row("19.16", [(200, DOCKER_MANIFEST), (200, DOCKER_MANIFEST_LIST)])
def test_by_digest_for_others(bench: Bench) -> object:
    child = an_image(oci=False)
    registry = bench.standard()
    push(registry, many := an_index(child, oci=False), "v1")
    answers = [_served(registry, manifest.digest) for manifest in (child, many)]
    return [(answer.status, answer.headers["Content-Type"]) for answer in answers]


@row("19.17", [200, 200, 200])
def test_parameters_of_accept(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    accepted = (
        f"{OCI_MANIFEST};q=0",
        f"{OCI_MANIFEST}; charset=utf-8",
        f"{OCI_INDEX}, {OCI_MANIFEST}",
    )
    return [_served(registry, "v1", accept).status for accept in accepted]


@row("19.30", (500, "UNKNOWN"), (404, "MANIFEST_UNKNOWN"))
def test_layer_as_a_manifest(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    return failure(registry.get(manifest_path(str(_LAYER.digest)), headers=ANY))


# -- tags -----------------------------------------------------------------------------------------
def _tagged(bench: Bench, *tags: str) -> RunningRegistry:
    registry = bench.standard()
    push(registry, IMAGE, *tags)
    return registry


def _page(answer: Answer) -> tuple[object, str | None]:
    """The tags in order, and the Link."""
    return answer.json()["tags"], answer.headers.get("Link")


_SORTED = ["B", "a", "a.b", "b"]


@row(
    "19.5",
    [(set(_SORTED), None), (set(_SORTED), None), (set(_SORTED), None)],
    [
        (_SORTED, None),
        (["B", "a"], f'<{_TAGS}?last=a&n=2>; rel="next"'),
        (["a.b", "b"], None),
    ],
    SAME,
    [
        (_SORTED, None),
        (["B", "a"], f'<{_TAGS}?last=a&n=2>; rel="next"'),
        (["a.b", "b"], f'<{_TAGS}?last=b&n=2>; rel="next"'),
    ],
)
def test_tags(bench: Bench) -> object:
    registry = _tagged(bench, *_SORTED)
    pages = [_page(registry.get(_TAGS + query)) for query in ("", "?n=2", "?n=2&last=a")]
    if bench.release == "2.8":  # in the order of the directory
        return [(set(tags), link) for tags, link in pages if isinstance(tags, list)]
    return pages


@row("19.6", set("abcd"), ["c", "d"], SAME, ["b", "c"])
def test_last_is_no_tag(bench: Bench) -> object:
    registry = _tagged(bench, "a", "b", "c", "d")
    tags, _ = _page(registry.get(f"{_TAGS}?last=aa&n=2"))
    return set(tags) if bench.release == "2.8" and isinstance(tags, list) else tags


@row("19.7", (2, None), SAME, SAME, (2, f'<{_TAGS}?last=b&n=2>; rel="next"'))
def test_exact_page(bench: Bench) -> object:
    tags, link = _page(_tagged(bench, "a", "b").get(f"{_TAGS}?n=2"))
    assert isinstance(tags, list)
    return len(tags), link


@row("19.7, 19.9", 1, [], SAME, None)
def test_page_after_the_last(bench: Bench) -> object:
    tags, _ = _page(_tagged(bench, "a").get(f"{_TAGS}?last=z&n=2"))
    return len(tags) if bench.release == "2.8" and isinstance(tags, list) else tags


@row(
    "19.8",
    [(200, ["a"]), (200, ["a"]), (200, ["a"])],
    [(200, []), (400, {"n": "-1"}), (400, {"n": "abc"})],
    SAME,
    [(200, []), (400, {"n": -1}), (400, {"n": 0})],
)
def test_odd_page_sizes(bench: Bench) -> object:
    registry = _tagged(bench, "a")
    answers = [registry.get(f"{_TAGS}?n={n}") for n in ("0", "-1", "abc")]
    assert {answer.error_code for answer in answers} <= {None, "PAGINATION_NUMBER_INVALID"}
    return [
        (answer.status, answer.json()["tags"] if answer.status == 200 else detail(answer))
        for answer in answers
    ]


# -- the catalog ----------------------------------------------------------------------------------
@row(
    "19.10",
    [(200, []), (200, [REPOSITORY]), (200, [REPOSITORY]), (400, {"n": 1001})],
    [(200, []), (400, {"n": "-1"}), (400, {"n": "abc"}), (400, {"n": 1001})],
)
def test_odd_page_sizes_of_the_catalog(bench: Bench) -> object:
    registry = _tagged(bench, "v1")
    answers = [registry.get(f"/v2/_catalog?n={n}") for n in ("0", "-1", "abc", "1001")]
    return [
        (answer.status, answer.json()["repositories"] if answer.status == 200 else detail(answer))
        for answer in answers
    ]


@row("19.11", [REPOSITORY, "with/blobs"], [REPOSITORY])
def test_catalog(bench: Bench) -> object:
    registry = _tagged(bench, "v1")
    push_blob(registry, _LAYER, "with/blobs")
    return registry.get("/v2/_catalog").json()["repositories"]


# -- blobs and the rest ---------------------------------------------------------------------------
@row("19.19", (404, like("text/plain.*"), b"404 page not found\n"))
def test_referrers(bench: Bench) -> object:
    registry = _tagged(bench, "v1")
    answer = registry.get(f"/v2/{REPOSITORY}/referrers/{IMAGE.digest}")
    return answer.status, answer.headers["Content-Type"], answer.body


@row("19.27", {"Content-Type": "application/octet-stream", "Cache-Control": "max-age=31536000"})
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_blob(bench: Bench, method: str) -> object:
    registry = _tagged(bench, "v1")
    answer = registry.request(method, blob_path(IMAGE.config))
    return chosen(answer, "Content-Type", "Cache-Control")


@row("19.28", (206, like("multipart/byteranges; boundary=.*")))
def test_several_ranges(bench: Bench) -> object:
    registry = _tagged(bench, "v1")
    answer = registry.get(blob_path(_LAYER), headers={"Range": "bytes=0-1,4-5"})
    return answer.status, answer.headers["Content-Type"]


@row("19.31", [404, 500, 500, 500], SAME, [404, 500, 404, 500])
def test_length_of_a_name(bench: Bench) -> object:
    """Of 255 characters, and of more; then where these are not counted that stand for a host."""
    registry = bench.standard()
    names = ("a" * 255, "a" * 256, "a/" + "b" * 255, "a/" + "b" * 256)
    return [registry.get(f"/v2/{name}/tags/list").status for name in names]
