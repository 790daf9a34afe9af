"""``/v2/_catalog``, which is distribution's own and not in the OCI specification."""

from __future__ import annotations

import asyncio

from reference_registry.api.context import Context, Resource, json_response
from reference_registry.api.urls import prefixed
from reference_registry.http.errors import PAGINATION_NUMBER_INVALID
from reference_registry.http.messages import Response
from reference_registry.http.pagination import next_link, page
from reference_registry.storage.enumeration import path_order

__all__ = ["CATALOG"]

_DEFAULT_PAGE = 100


async def _list(context: Context) -> Response:
    """https://distribution.github.io/distribution/spec/api/#listing-repositories"""
    n = _page_size(context)
    namespace = context.place.namespace
    names = await asyncio.to_thread(context.registry.catalog, namespace)
    chosen, following = page(names, n, context.request.query("last"), key=path_order)
    document = {"repositories": list(chosen)}
    if following is None:
        return json_response(document, context.profile)
    path = prefixed(context.request.path, context.config.http)
    link = next_link(path, last=following, n=n, ns=namespace)
    return json_response(document, context.profile, 200, link)


def _page_size(context: Context) -> int:
    text = context.request.query("n")
    largest = context.config.catalog_maxentries
    default = min(_DEFAULT_PAGE, largest)
    if not text:
        return default
    try:
        n = int(text)
    except ValueError:
        n = -1
    if n < 0 and context.profile.catalog_bad_n_is_default:
        return default
    if n < 0:
        raise PAGINATION_NUMBER_INVALID({"n": text})
    if n > largest:
        raise PAGINATION_NUMBER_INVALID({"n": n})
    return n


CATALOG = Resource(reads={"GET": _list}, writes={})
