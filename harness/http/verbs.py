"""The methods of HTTP as methods, for whatever answers a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.http.client import Answer

__all__ = ["Verbs"]


class Verbs:
    """``get`` and its like in terms of :attr:`request`, whose options they take."""

    request: Callable[..., Answer]
    """Takes a method, a path and options."""

    def get(self, path: str, **options: Any) -> Answer:
        """GET; the options are those of :attr:`request`."""
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> Answer:
        """HEAD; the options are those of :attr:`request`."""
        return self.request("HEAD", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        """POST; the options are those of :attr:`request`."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Answer:
        """PUT; the options are those of :attr:`request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Answer:
        """PATCH; the options are those of :attr:`request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        """DELETE; the options are those of :attr:`request`."""
        return self.request("DELETE", path, **options)
