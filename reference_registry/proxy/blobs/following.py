"""Reading along in a file that another process writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from reference_registry.proxy.blobs.download_lock import Announcement
from reference_registry.storage import layout
from reference_registry.storage.driver import StorageDriver

__all__ = ["Followed", "same_beginning"]

_CHUNK = 1 << 20


class Followed:
    """The upload that *told* names, opened: it may lose its name, but not what was in it.
    ``PathNotFound`` where it is not there."""

    def __init__(self, driver: StorageDriver, told: Announcement) -> None:
        self.upload = told.upload
        self.path = layout.upload_data(told.repository, told.upload)
        self.file = driver.open_read(self.path)

    def size(self) -> int:
        """Bytes so far."""
        return self.file.seek(0, os.SEEK_END)

    def chunks(self) -> Iterator[bytes]:
        """All of them."""
        self.file.seek(0)
        while chunk := self.file.read(_CHUNK):
            yield chunk

    def close(self) -> None:
        self.file.close()


def same_beginning(one: BinaryIO, other: BinaryIO, length: int) -> bool:
    """Whether two files of the operating system have the same first *length* bytes. Reads them, in
    a thread if that may take long."""
    if os.path.sameopenfile(one.fileno(), other.fileno()):
        return True
    one.seek(0)
    other.seek(0)
    while length > 0:
        chunk = one.read(min(length, _CHUNK))
        if not chunk or other.read(len(chunk)) != chunk:
            return False
        length -= len(chunk)
    return True
