"""The resources of the API and their methods. Manifests and uploads have modules of their own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from reference_registry.api import manifests, uploads
from reference_registry.api.context import Context, Handler, json_response
from reference_registry.http.errors import PAGINATION_NUMBER_INVALID, RegistryError
from reference_registry.http.messages import BytesBody, Response, json_bytes
from reference_registry.http.pagination import next_link, page
from reference_registry.manifest import OCI_INDEX
from reference_registry.storage.layout import path_order

_CATALOG_PAGE = 100
_INDEX_FRAME = 1024
"""Bytes of an index of referrers around its descriptors, generously."""
_NUMBER = re.compile("[+-]?[0-9]{1,18}")
"""Digits that certainly fit into 63 bits."""


async def _base(context: Context) -> Response:
    """``/v2/``: OCI distribution-spec, "Determining Support"."""
    return Response(200, (("Content-Type", context.profile.json_content_type),), BytesBody(b"{}"))


async def _serve_blob(context: Context) -> Response:
    """OCI distribution-spec, "Pulling blobs". The repository handles ranges and conditions."""
    return await context.repository.serve_blob(context.digest(), context.request)


async def _delete_blob(context: Context) -> Response:
    """OCI distribution-spec, "Deleting Blobs"."""
    await context.repository.delete_blob(context.digest())
    return Response(202)


async def _catalog(context: Context) -> Response:
    """Distribution's own: https://distribution.github.io/distribution/spec/api/#listing-repositories"""
    largest, profile = context.config.catalog_maxentries, context.profile
    default = min(_CATALOG_PAGE, largest)
    n, text = _number(context, default)
    if n is None or n < 0:
        if not profile.catalog_bad_n_is_default:
            raise PAGINATION_NUMBER_INVALID({"n": text})
        n = default
    if n > largest:
        raise PAGINATION_NUMBER_INVALID({"n": n})
    namespace = context.place.namespace
    names = await asyncio.to_thread(context.registry.catalog, namespace)
    chosen, following = page(names, n, context.request.query("last"), key=path_order)
    headers = () if following is None else (_next(context, last=following, n=n),)
    return json_response({"repositories": list(chosen)}, profile, 200, *headers)


async def _tags(context: Context) -> Response:
    """OCI distribution-spec, "Listing Tags"."""
    profile = context.profile
    last = context.request.query("last")
    try:
        n = _tags_page_size(context)
    except RegistryError:
        if profile.checks_page_size_last:
            await context.repository.tags(n=None, last=None)
        raise
    found = await context.repository.tags(n=n, last=last)
    names = None if found.tags is None else list(found.tags)
    document = {"name": context.parameters["name"], "tags": names}
    link = () if found.next is None else (_next(context, last=found.next, n=n),)
    return json_response(document, profile, 200, *link, *found.headers)


def _tags_page_size(context: Context) -> int | None:
    """``n``; None without ``n`` or pagination. PAGINATION_NUMBER_INVALID if it is not a number or
    negative."""
    profile = context.profile
    if not (context.request.query("n") and profile.paginates_tags):
        return None
    n, text = _number(context, 0)
    if n is None or n < 0:
        # 3.1 shows the number that it read, which is 0 for text.
        shown = (n or 0) if profile.page_size_detail == "number" else text
        raise PAGINATION_NUMBER_INVALID({"n": shown})
    return min(n, context.config.tags_maxtags) if profile.limits_tags_page else n


def _number(context: Context, default: int) -> tuple[int | None, str]:
    """The query parameter ``n`` as a number and as text; None if it is not a number, *default* if
    it is missing or empty."""
    text = context.request.query("n") or ""
    if not text:
        return default, text
    return int(text) if _NUMBER.fullmatch(text) else None, text


async def _referrers(context: Context) -> Response:
    """OCI distribution-spec, "Listing Referrers": an index, empty if there are no referrers. What
    does not fit into one manifest comes in pages, in the order of digests."""
    referrers = await context.repository.referrers(context.digest())
    headers = [("Content-Type", OCI_INDEX), *referrers.headers]
    wanted = context.request.query("artifactType") or None
    if wanted is not None:
        headers.append(("OCI-Filters-Applied", "artifactType"))
    last = context.request.query("last") or ""
    descriptors = sorted(
        (
            each
            for each in referrers.descriptors
            if str(each["digest"]) > last and (wanted is None or each.get("artifactType") == wanted)
        ),
        key=lambda each: str(each["digest"]),
    )
    left = manifests.MAX_MANIFEST_SIZE - _INDEX_FRAME
    chosen: list[bytes] = []
    for each in descriptors:
        written = json_bytes(each).rstrip()
        left -= len(written) + 1
        if left < 0 and chosen:  # There is always at least one, or the client gets no further.
            headers.append(_next(context, artifactType=wanted, last=last))
            break
        chosen.append(written)
        last = str(each["digest"])
    index = b'{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}\n'
    content = index % (OCI_INDEX.encode(), b",".join(chosen))
    return Response(200, tuple(headers), BytesBody(content))


def _next(context: Context, **query: str | int | None) -> tuple[str, str]:
    """The ``Link`` header to the page that *query* names."""
    return next_link(context.prefixed_path, ns=context.place.namespace, **query)


_UPLOAD: Mapping[str, Handler] = {
    **dict.fromkeys(("GET", "HEAD"), uploads.status),
    "PATCH": uploads.append,
    "PUT": uploads.finish,
    "DELETE": uploads.cancel,
}
RESOURCES: Mapping[str, Mapping[str, Handler]] = {
    "base": {"*": _base},  # any method, as in distribution
    "catalog": {"GET": _catalog},
    "tags": {"GET": _tags},
    "manifest": {
        **dict.fromkeys(("GET", "HEAD"), manifests.serve),
        "PUT": manifests.put,
        "DELETE": manifests.delete,
    },
    "referrers": dict.fromkeys(("GET", "HEAD"), _referrers),
    "blob_upload": {**_UPLOAD, "POST": uploads.start},
    "blob_upload_chunk": _UPLOAD,
    "blob": {**dict.fromkeys(("GET", "HEAD"), _serve_blob), "DELETE": _delete_blob},
}
"""Handlers by method, by the names that ``routing`` uses."""
