"""The edge of ``--fix``: a file is replaced as a whole, and only if it is still the one that was
read. Mode, owner and extended attributes go over to the new one."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.nodes.lint.fix.repair import Repair

__all__ = ["CannotReplace", "replace_all"]


class CannotReplace(Exception):
    """Why a file stays as it was, in a few words."""


def replace_all(repairs: Iterable[Repair], roots: Sequence[str]) -> dict[str, str]:
    """Write each repair to its file. Files that could not be replaced, as the user named them, with
    the reason; the others are done. *roots* are the directories that were given: a link is followed
    within its own."""
    failed: dict[str, str] = {}
    written: dict[str, str] = {}
    for repair in repairs:
        try:
            real = _real(repair.before.absolute, roots)
            if written.get(real) != repair.after.text:  # two names of one file are met
                _replace(real, repair.before.text.encode(), repair.after.text.encode())
                written[real] = repair.after.text
        except CannotReplace as why:
            failed[repair.before.path] = str(why)
        except OSError as error:
            failed[repair.before.path] = f"cannot be written: {error.strerror}"
    return failed


def _real(path: str, roots: Sequence[str]) -> str:
    real = os.path.realpath(path)
    above = [root for root in roots if os.path.commonpath([root, path]) == root]
    if not above and Path(path).is_symlink():
        raise CannotReplace("a link: give the file that it stands for")
    if above and not any(os.path.commonpath([root, real]) == root for root in above):
        raise CannotReplace("a link out of the tree")
    return real


def _replace(path: str, before: bytes, after: bytes) -> None:
    directory, name = os.path.split(path)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        old = _unchanged(name, folder, before)
        new = f".{secrets.token_hex(8)}.pullproof"
        try:
            _write(new, folder, old, path, after)
            if _unchanged(name, folder, before).st_ino != old.st_ino:
                raise CannotReplace("it was changed meanwhile")
            os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _unchanged(name: str, folder: int, before: bytes) -> os.stat_result:
    """The file, which must hold what was read from it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or file.read(len(before) + 1) != before:
            raise CannotReplace("it was changed meanwhile")
    if found.st_nlink > 1:
        raise CannotReplace("it has another name (a hard link), which would keep the old content")
    return found


def _write(new: str, folder: int, old: os.stat_result, path: str, after: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600, dir_fd=folder), "wb") as file:
        descriptor = file.fileno()
        file.write(after)
        made = os.fstat(descriptor)
        if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
        _copy_attributes(path, descriptor)
        file.flush()
        os.fsync(descriptor)


def _copy_attributes(path: str, descriptor: int) -> None:
    """Extended attributes, access control lists among them. What only the system may set, such as
    a label of SELinux, the new file got by itself."""
    if not hasattr(os, "listxattr"):
        return
    try:
        names = os.listxattr(path)
    except OSError:  # the file system has no such thing
        return
    for name in names:
        try:
            os.setxattr(descriptor, name, os.getxattr(path, name))
        except OSError:
            if not name.startswith("security."):
                raise
