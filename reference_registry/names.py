"""The grammar of repository names, tags and references.

``ideal`` follows the OCI distribution-spec ("Pulling manifests"). Releases of distribution route by
their own grammar, which also lets a host name with a port stand before the path and takes any
``algorithm:encoded`` for a digest.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_NAME_LENGTH = 255
"""The longest repository name; many clients and distribution itself stop here."""

_ALPHANUMERIC = "[a-z0-9]+"
_COMPONENT = rf"{_ALPHANUMERIC}(?:(?:\.|_|__|-+){_ALPHANUMERIC})*"
_NAME = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_HOST_LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*(?::[0-9]+)?"

DISTRIBUTION_NAME = rf"(?:{_HOST}/)?{_NAME}"
"""Pattern source of the names that distribution's router accepts."""
DISTRIBUTION_DIGEST = r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+"
"""Pattern source of the digests that distribution's router accepts: go-digest's DigestRegexp."""
DISTRIBUTION_REFERENCE = rf"{_TAG}|{DISTRIBUTION_DIGEST}"
"""Pattern source of the manifest references that distribution's router accepts."""

_NAME_PATTERN = re.compile(_NAME)
_HOST_PATTERN = re.compile(rf"{_HOST}/")
_TAG_PATTERN = re.compile(_TAG)


def is_repository_name(text: str) -> bool:
    """Whether *text* is a repository name of the OCI grammar, and not too long."""
    return len(text) <= MAX_NAME_LENGTH and _is_name(text)


@lru_cache(maxsize=1024)
def _is_name(text: str) -> bool:
    return _NAME_PATTERN.fullmatch(text) is not None


def below_host(name: str) -> str:
    """*name* without its first component, where that may be a host and something follows."""
    host = _HOST_PATTERN.match(name)
    return name[host.end() :] if host else name


def is_tag(text: str) -> bool:
    """Whether *text* may be a tag."""
    return _TAG_PATTERN.fullmatch(text) is not None
