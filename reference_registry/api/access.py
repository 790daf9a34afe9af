"""What a request needs permission for (distribution's ``appendAccessRecords``)."""

from __future__ import annotations

from reference_registry.api.routing import Route
from reference_registry.http.hooks import Access
from reference_registry.http.messages import Request

__all__ = ["access_needed"]

_ACTIONS = {
    "GET": ("pull",),
    "HEAD": ("pull",),
    "POST": ("pull", "push"),
    "PUT": ("pull", "push"),
    "PATCH": ("pull", "push"),
    "DELETE": ("delete",),
}


def access_needed(request: Request, route: Route, name: str) -> list[Access]:
    """*name* is what the repository is kept as; what it is called by, may mean several. Empty for
    ``/v2/``, and where there is no such place, where being known is enough."""
    if route.resource == "catalog":
        return [Access("registry", "catalog", "*")]
    if not name:
        return []
    access = [Access("repository", name, action) for action in _ACTIONS.get(request.method, ())]
    source = request.query("from")
    if source:
        access.append(Access("repository", source, "pull"))
    return access
