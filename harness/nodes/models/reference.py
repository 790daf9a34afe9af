"""Image references as the CRI plugin normalises them and as ``ctr`` takes them.

Grammar and normalisation (docker.io, library/, latest): github.com/distribution/reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.nodes.models.go_url import InvalidURL, join_path, parse_url


class InvalidReference(ValueError):
    """Text that is not an image reference, with the reason."""


@dataclass(frozen=True)
class Reference:
    """An image: the registry's name (its namespace), the repository, and a tag or digest."""

    namespace: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.namespace}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")
_LONGEST = 4096
_LONGEST_NAME = 255


def normalised_reference(text: str) -> Reference:
    """*text* as kubelet and the CRI plugin normalise it: ``nginx`` is
    ``docker.io/library/nginx:latest``; a digest replaces the tag.

    Raises :class:`InvalidReference`.
    """
    if len(text) > _LONGEST:
        raise InvalidReference("invalid reference format: too long")
    if _IDENTIFIER.fullmatch(text):
        raise InvalidReference(f"invalid repository name ({text}), cannot specify 64-byte hex "
                               "characters")  # fmt: skip
    domain, name = _split_domain(text)
    match = _REFERENCE.fullmatch(f"{domain}/{name}")
    if match is None:
        raise InvalidReference(
            "invalid reference format: repository name must be lowercase"
            if name.partition(":")[0].lower() != name.partition(":")[0]
            else "invalid reference format"
        )
    if len(match["domain"]) + 1 + len(match["path"]) > _LONGEST_NAME:
        raise InvalidReference("repository name must not be more than 255 characters")
    digest = match["digest"]
    problem = None if digest is None else digest_problem(digest)
    if problem is not None:
        raise InvalidReference(problem)
    tag = None if digest else match["tag"] or "latest"
    return Reference(match["domain"], match["path"], tag, digest)


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_domain = slash and ("." in first or ":" in first or first == "localhost")
    domain, name = (first, rest) if is_domain else ("docker.io", text)
    if domain == "index.docker.io":
        domain = "docker.io"
    if domain == "docker.io" and "/" not in name:
        name = f"library/{name}"
    return domain, name


def ctr_reference(text: str) -> Reference:
    """*text* as ``ctr`` reads it: nothing is added, so the registry is required.

    Raises :class:`InvalidReference`.
    """
    if len(text) > _LONGEST or "://" in text:
        raise InvalidReference("invalid reference")
    try:
        parsed = parse_url(f"dummy://{text}")
    except InvalidURL as error:
        raise InvalidReference(f'parse "dummy://{text}": {error}') from None
    if not parsed.host:
        raise InvalidReference("hostname required")
    path, mark, rest = re.findall("^([^:@]*)([:@]?)(.*)$", parsed.path, re.DOTALL)[0]
    tag, _, digest = (rest if mark == ":" else mark + rest).partition("@")
    if not mark or not (tag or digest):
        raise InvalidReference("object required")
    problem = digest_problem(digest) if digest else None
    if problem is not None:
        raise InvalidReference(problem)
    locator = join_path(parsed.host, path)
    namespace, _, repository = locator.partition("/")
    return Reference(namespace, repository, tag or None, digest or None)


_ENCODED_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+", re.ASCII)


def digest_problem(text: str) -> str | None:
    """The error of go-digest for *text*, or None for a valid digest."""
    algorithm, colon, encoded = text.partition(":")
    if not algorithm or not colon or not encoded:
        return "invalid checksum digest format"
    length = _ENCODED_LENGTH.get(algorithm)
    if length is None:
        known = _DIGEST.fullmatch(text)
        return "unsupported digest algorithm" if known else "invalid checksum digest format"
    if len(encoded) != length:
        return "invalid checksum digest length"
    is_hex = re.fullmatch("[0-9a-f]+", encoded)
    return None if is_hex else "invalid checksum digest format"
