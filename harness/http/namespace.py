"""Repository names of one test among those of others, in a registry that is not ours alone. Pure.

A test says ``team/app``; on the wire it is ``pullproof-3f9a1c07-12/team/app``. The client
puts this prefix before the name and removes it from responses, and the mock upstream
behind it does the reverse, so that neither the test nor what is recorded of it knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

__all__ = ["Namespace"]

_NAMED = re.compile(r"(/v2/)([^_?/][^?]*)")
"""What begins with an underscore, such as ``_catalog``, is no repository (OCI distribution-spec,
"Pulling manifests": a name begins with a letter or a digit)."""
_MOUNTED = re.compile(r"([?&]from=)(?=[^&])")


@dataclass(frozen=True)
class Namespace:
    """*own* is the test's, such as ``pullproof-3f9a1c07-12``, or empty for names as they are;
    *place* where the registry wants all names to be, such as a project of Harbor, or empty."""

    own: str
    place: str = ""

    @property
    def front(self) -> str:
        """What stands before a name in the registry, with a slash at the end if it is anything."""
        return "".join(f"{part}/" for part in (self.place, self.own) if part)

    def outward(self, path: str) -> str:
        """The *path* (with its query) to ask for where the test says *path*."""
        named = _NAMED.match(path)
        if named is None or named[2].startswith(self.front):
            return path
        path = f"{named[1]}{self.front}{path[named.end(1) :]}"
        return _MOUNTED.sub(lambda match: match[1] + quote(self.front, safe=""), path)

    def inward(self, text: str) -> str:
        """*text* of an answer as the test would have it: a header's value, a list of tags."""
        return text.replace(self.front, "").replace(f"{self.own}/", "") if self.own else text

    def behind_name(self, repository: str) -> str:
        """What upstream is asked for where the test says *repository*."""
        return f"{self.own}/{repository}"

    def behind(self, path: str) -> str | None:
        """What the test calls the *path* that upstream was asked for; None for somebody else's."""
        front = f"/v2/{self.own}/"
        return "/v2/" + path.removeprefix(front) if path.startswith(front) else None
