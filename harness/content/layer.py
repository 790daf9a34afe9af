"""Layers: gzip-compressed tar archives of an exact size, whose bytes no zlib version decides.

RFC 1952 around the stored (uncompressed) blocks of RFC 1951, section 3.2.4, around a POSIX ustar
archive with one file.
"""

from __future__ import annotations

import hashlib
import struct
import tarfile
import zlib

from harness.content.blob import Blob
from harness.content.media_types import OCI_LAYER

__all__ = ["SMALLEST_LAYER", "a_layer"]

SMALLEST_LAYER = 2048
"""The least number of bytes of a layer."""

_TAR_BLOCK = tarfile.BLOCKSIZE
_STORED_MAX = 65535
_GZIP_FRAME = 18


def a_layer(seed: str, size: int = 4096, media_type: str = OCI_LAYER) -> Blob:
    """A tar archive with one file, gzip-compressed, of exactly *size* bytes (2048 or more)."""
    if size < SMALLEST_LAYER:
        raise ValueError(f"a layer takes {SMALLEST_LAYER} bytes or more, not {size}")
    archive_size = size - size % _TAR_BLOCK
    # What tar's 512-byte blocks leave over goes into gzip's "extra" field, which takes 6 bytes.
    while not ((padding := size - _gzip_size(archive_size)) == 0 or padding >= 6):
        archive_size -= _TAR_BLOCK
    return Blob(_gzip_stored(_tar(seed, archive_size), padding), media_type)


def _tar(seed: str, size: int) -> bytes:
    payload = size - 3 * _TAR_BLOCK  # one header, and two empty blocks at the end
    info = tarfile.TarInfo(f"pullproof/{hashlib.sha256(seed.encode()).hexdigest()[:16]}")
    info.size = payload
    content = Blob.of_size(payload, seed).content
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(2 * _TAR_BLOCK)


def _gzip_size(length: int) -> int:
    return _GZIP_FRAME + length + 5 * -(-length // _STORED_MAX)


def _gzip_stored(data: bytes, padding: int) -> bytes:
    """RFC 1952 around RFC 1951 stored blocks; *padding* is the room that "extra" has to take."""
    flags = 4 if padding else 0
    pieces = [b"\x1f\x8b\x08", bytes([flags]), bytes(4), b"\x00\xff"]
    if padding:
        pieces.append(struct.pack("<H2sH", padding - 2, b"PP", padding - 6) + bytes(padding - 6))
    for start in range(0, len(data), _STORED_MAX):
        block = data[start : start + _STORED_MAX]
        final = start + _STORED_MAX >= len(data)
        pieces.append(struct.pack("<BHH", final, len(block), len(block) ^ 0xFFFF) + block)
    pieces.append(struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
    return b"".join(pieces)
