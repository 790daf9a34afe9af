"""What ``garbage-collect --json`` prints: one object, as docs/garbage-collection.md has it. No I/O.

``version`` goes up where a key is renamed, removed, or means something else; a reader may meet keys
that it does not know.
"""

from __future__ import annotations

from reference_registry.garbage.collect import Collection

__all__ = ["VERSION", "report"]

VERSION = 1


def report(collection: Collection, *, seconds: float, error: str | None) -> dict[str, object]:
    """What *collection* did, in *seconds*, up to its end or up to *error*."""
    wish, swept = collection.wish, collection.swept
    return {
        "version": VERSION,
        "dry_run": wish.dry_run,
        "delete_untagged": wish.delete_untagged,
        "grace_seconds": wish.grace.total_seconds(),
        "error": error,
        "warnings": collection.warnings,
        "duration_seconds": round(seconds, 3),
        "repositories": collection.repositories,
        "marked": sorted(collection.marking.marked),
        "spared": sorted(set(swept.spared)),
        "manifests": [{"repository": m.repository, "digest": m.digest} for m in swept.manifests],
        "tag_links": [
            {"repository": repository, "tag": tag, "digest": digest}
            for repository, tag, digest in swept.tag_links
        ],
        "blobs": [{"digest": blob.digest, "size": blob.size} for blob in swept.blobs],
        "layer_links": [
            {"repository": link.repository, "digest": link.digest} for link in swept.layer_links
        ],
        "bytes": sum(blob.size for blob in swept.blobs),
    }
