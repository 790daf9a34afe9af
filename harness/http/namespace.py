"""Repository names of one test in a registry with other users.

A test uses ``team/app``; on the wire it is ``pullproof-3f9a1c07-12/team/app``. The client adds this
prefix and removes it from responses, and the mock upstream behind the registry does the reverse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

_NAMED = re.compile(r"(/v2/)([^_?/][^?]*)")
"""A name begins with a letter or a digit (OCI distribution-spec, "Pulling manifests"), so
``_catalog`` is not a repository."""
_MOUNTED = re.compile(r"([?&]from=)(?=[^&])")


@dataclass(frozen=True)
class Namespace:
    """*own* is the test's, such as ``pullproof-3f9a1c07-12``, or empty to keep names as they are;
    *place* comes before all names in the registry, such as a project of Harbor, or is empty."""

    own: str
    place: str = ""

    @property
    def front(self) -> str:
        """The prefix of a name in the registry, with a slash at the end unless it is empty."""
        return "".join(f"{part}/" for part in (self.place, self.own) if part)

    def outward(self, path: str) -> str:
        """The *path* (with its query) of a request, on the wire."""
        named = _NAMED.match(path)
        if named is None or named[2].startswith(self.front):
            return path
        path = f"{named[1]}{self.front}{path[named.end(1) :]}"
        return _MOUNTED.sub(lambda match: match[1] + quote(self.front, safe=""), path)

    def inward(self, text: str) -> str:
        """*text* of a response (a header's value, a list of tags) with the test's names."""
        return text.replace(self.front, "").replace(f"{self.own}/", "") if self.own else text

    def behind_name(self, repository: str) -> str:
        """The name that upstream receives for *repository*."""
        return f"{self.own}/{repository}"

    def behind(self, path: str) -> str | None:
        """The test's path for the *path* that upstream receives; None for another user's."""
        front = f"/v2/{self.own}/"
        return "/v2/" + path.removeprefix(front) if path.startswith(front) else None
