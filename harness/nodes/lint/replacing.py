"""The I/O of ``--fix``: a file is replaced as a whole, and only if it is still the one that was
read. Mode, owner and extended attributes are kept."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.nodes.lint.fix.repair import Repair

__all__ = ["replace_all"]

_CHANGED = "it changed in the meantime"


class _CannotReplace(Exception):
    """Why a file stays as it was, in a few words."""


def replace_all(repairs: Iterable[Repair], roots: Sequence[str]) -> dict[str, str]:
    """Write each repair to its file. Returns the files that could not be written, as the user named
    them, with the reason. A link is followed within its own directory of *roots*, the directories
    that were given."""
    failed: dict[str, str] = {}
    written: dict[str, str] = {}
    for repair in repairs:
        try:
            real = _real(repair.before.absolute, roots)
            if written.get(real) != repair.after.text:  # one file may have two names
                _replace(Path(real), repair.before.text.encode(), repair.after.text.encode())
                written[real] = repair.after.text
        except _CannotReplace as why:
            failed[repair.before.path] = str(why)
        except OSError as error:
            failed[repair.before.path] = f"cannot be written: {error.strerror}"
    return failed


def _real(path: str, roots: Sequence[str]) -> str:
    real = os.path.realpath(path)
    above = [root for root in roots if os.path.commonpath([root, path]) == root]
    if not above and Path(path).is_symlink():
        raise _CannotReplace("a link: give the file that it points to")
    if above and not any(os.path.commonpath([root, real]) == root for root in above):
        raise _CannotReplace("a link out of the tree")
    return real


def _replace(path: Path, before: bytes, after: bytes) -> None:
    old = _unchanged(path, before)
    new = path.with_name(f".{secrets.token_hex(8)}.pullproof")
    try:
        _write(new, path, old, after)
        if _unchanged(path, before).st_ino != old.st_ino:
            raise _CannotReplace(_CHANGED)
        new.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        raise


def _unchanged(path: Path, before: bytes) -> os.stat_result:
    """The file, which must hold what was read from it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or file.read(len(before) + 1) != before:
            raise _CannotReplace(_CHANGED)
    if found.st_nlink > 1:
        raise _CannotReplace("it has another name (a hard link), which would keep the old content")
    return found


def _write(new: Path, path: Path, old: os.stat_result, after: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
        file.write(after)
        made = os.fstat(file.fileno())
        if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(file.fileno(), old.st_uid, old.st_gid)
        shutil.copystat(path, new)
        os.utime(file.fileno())
        file.flush()
        os.fsync(file.fileno())
