"""The link files of one repository: which layers, manifests and tags it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reference_registry.digest import Digest, parse_digest
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.enumeration import digests_named_in

__all__ = ["RepositoryLinks"]


class RepositoryLinks:
    """Reads and writes links; whether the bytes they name are there is not looked at.

    A link is read for the digest in it, which releases let differ from the one in its path: they
    keep a blob pushed as sha512 under sha256.
    """

    def __init__(self, driver: StorageDriver, name: str) -> None:
        self._driver = driver
        self._name = name

    def exists(self) -> bool:
        """Whether the repository has, or once had, a manifest or a layer."""
        return self._driver.exists(layout.manifests(self._name)) or self._driver.exists(
            layout.layers(self._name)
        )

    def has_content(self) -> bool:
        """Whether the repository has a manifest or a layer now."""
        return next(self.revisions(), None) is not None or next(self.layers(), None) is not None

    # -- layers ---------------------------------------------------------------------------------
    def layer(self, digest: Digest) -> Digest | None:
        """The digest that the bytes of the layer *digest* are stored under."""
        return self._read(layout.layer_link(self._name, digest), digest)

    def has_layer(self, digest: Digest) -> bool:
        """Whether the layer *digest* is linked, whatever the link says."""
        return self._driver.is_file(layout.layer_link(self._name, digest))

    def link_layer(self, digest: Digest, stored_as: Digest | None = None) -> None:
        self._write(layout.layer_link(self._name, digest), stored_as or digest)

    def unlink_layer(self, digest: Digest) -> bool:
        """False where there was no link. The directory stays, as in distribution."""
        return self._delete(layout.layer_link(self._name, digest))

    def layers(self) -> Iterator[Digest]:
        return self._linked(layout.layers(self._name))

    # -- manifests ------------------------------------------------------------------------------
    def revision(self, digest: Digest) -> Digest | None:
        """The digest that the bytes of the manifest *digest* are stored under."""
        return self._read(layout.revision_link(self._name, digest), digest)

    def link_revision(self, digest: Digest) -> None:
        self._write(layout.revision_link(self._name, digest), digest)

    def unlink_revision(self, digest: Digest) -> bool:
        """False where there was no link."""
        return self._delete(layout.revision_link(self._name, digest))

    def revisions(self) -> Iterator[Digest]:
        return self._linked(layout.revisions(self._name))

    # -- tags -----------------------------------------------------------------------------------
    def tag(self, tag: str) -> Digest | None:
        """What *tag* points at."""
        return self._read(layout.tag_current_link(self._name, tag))

    def link_tag(self, tag: str, digest: Digest) -> None:
        self._write(layout.tag_index_link(self._name, tag, digest), digest)
        self._write(layout.tag_current_link(self._name, tag), digest)

    def unlink_tag(self, tag: str) -> bool:
        """Remove the tag with its history; False where there was none."""
        return self._delete(layout.tag_directory(self._name, tag))

    def tag_names(self, *, in_order: bool = True) -> Sequence[str] | None:
        """In bytewise order, or as the file system has them; None where there never was a tag."""
        path = layout.tags(self._name)
        try:
            return self._driver.sorted_names(path) if in_order else self._driver.names(path)
        except PathNotFound:
            return None

    def tags_pointing_at(self, digest: Digest) -> list[str]:
        return [tag for tag in self.tag_names() or () if self.tag(tag) == digest]

    def tags_that_knew(self, digest: Digest) -> list[str]:
        """The tags that point at *digest* or once did, in bytewise order."""
        return [
            tag
            for tag in self.tag_names() or ()
            if self._driver.is_file(layout.tag_index_link(self._name, tag, digest))
            or self.tag(tag) == digest
        ]

    def remembered_by(self, tag: str) -> Iterator[Digest]:
        """What *tag* points at or once did."""
        return self._linked(f"{layout.tag_directory(self._name, tag)}/index")

    def unlink_former(self, tag: str, digest: Digest) -> bool:
        """Let *tag* forget that it once pointed at *digest*; False where it does not know."""
        link = layout.tag_index_link(self._name, tag, digest)
        return self._delete(link.removesuffix("/link"))

    # -- files ----------------------------------------------------------------------------------
    def _read(self, path: str, likely: Digest | None = None) -> Digest | None:
        """The digest in the link at *path*, which is nearly always the *likely* one."""
        try:
            text = self._driver.read(path).decode("ascii", "replace")
        except PathNotFound:
            return None
        return likely if text == likely else parse_digest(text)

    def _write(self, path: str, digest: Digest) -> None:
        """A directory in the link's place, which can only have been made by mistake, is deleted."""
        content = digest.encode("ascii")
        try:
            self._driver.write(path, content)
        except IsADirectoryError:
            self._driver.delete(path)
            self._driver.write(path, content)

    def _delete(self, path: str) -> bool:
        try:
            self._driver.delete(path)
        except PathNotFound:
            return False
        return True

    def _linked(self, directory: str) -> Iterator[Digest]:
        """The digests in the paths of the link files below *directory*."""
        try:
            named = digests_named_in(self._driver, directory)
        except PathNotFound:
            return
        for digest in named:
            if self._driver.is_file(f"{directory}/{digest.replace(':', '/')}/link"):
                yield digest
