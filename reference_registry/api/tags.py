"""``/v2/<name>/tags/list``."""

from __future__ import annotations

from reference_registry.api.context import Context, Resource, json_response
from reference_registry.api.urls import prefixed
from reference_registry.http.errors import PAGINATION_NUMBER_INVALID, RegistryError
from reference_registry.http.messages import Response
from reference_registry.http.pagination import next_link

__all__ = ["TAGS"]


async def _list(context: Context) -> Response:
    """OCI distribution-spec, "Listing Tags"."""
    profile = context.profile
    last = context.request.query("last")
    try:
        n = _page_size(context)
    except RegistryError:
        if profile.checks_page_size_last:
            await context.repository.tags(n=None, last=None)
        raise
    page = await context.repository.tags(n=n, last=last)
    names = None if page.tags is None else list(page.tags)
    document = {"name": context.parameters["name"], "tags": names}
    if page.next is None:
        return json_response(document, profile, 200, *page.headers)
    path = prefixed(context.request.path, context.config.http)
    link = next_link(path, last=page.next, n=n, ns=context.place.namespace)
    return json_response(document, profile, 200, link, *page.headers)


def _page_size(context: Context) -> int | None:
    """``n``; None where it is absent or not looked at. PAGINATION_NUMBER_INVALID for less than 0
    and for text."""
    text = context.request.query("n")
    profile = context.profile
    if not text or not profile.paginates_tags:
        return None
    try:
        n = int(text)
    except ValueError:
        n = None
    if n is None or n < 0:
        # 3.1 shows the number that it made of the text, which is 0 where it made none.
        shown = (n or 0) if profile.page_size_detail == "number" else text
        raise PAGINATION_NUMBER_INVALID({"n": shown})
    if profile.limits_tags_page:
        n = min(n, context.config.tags_maxtags)
    return n


TAGS = Resource(reads={"GET": _list}, writes={})
