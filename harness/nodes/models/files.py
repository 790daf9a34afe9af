"""A tree of files that exists only as a mapping from path to text.

The models read configuration from such a tree, so that the same question can be asked of a
machine's /etc and of a test's dictionary.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Literal

from harness.nodes.models.go_url import clean_path

__all__ = ["FileTree"]


class FileTree:
    """Files by absolute path. A key that ends in ``/`` stands for an empty directory."""

    def __init__(self, contents: Mapping[str, str]) -> None:
        self._files: dict[str, str] = {}
        self._names: dict[str, set[str]] = {"/": set()}
        for path, text in contents.items():
            absolute = clean_path(f"/{path}")
            if path.endswith("/"):
                self._names.setdefault(absolute, set())
            else:
                self._files[absolute] = text
            self._enter(absolute)

    @classmethod
    def below(cls, root: str, contents: Mapping[str, str]) -> FileTree:
        """The tree in which *contents*, with relative paths, lies under *root*."""
        return cls({f"{root.rstrip('/')}/{path}": text for path, text in contents.items()})

    def _enter(self, path: str) -> None:
        while path != "/":
            parent, name = posixpath.split(path)
            self._names.setdefault(parent, set()).add(name)
            path = parent

    def __or__(self, other: FileTree) -> FileTree:
        """Both trees; where both have a file, the one of *other*."""
        merged = FileTree({})
        merged._files = self._files | other._files
        merged._names = {
            path: self._names.get(path, set()) | other._names.get(path, set())
            for path in self._names | other._names
        }
        return merged

    def kind(self, path: str) -> Literal["file", "directory"] | None:
        """What stands at *path*; None for nothing."""
        path = clean_path(path)
        if path in self._files:
            return "file"
        return "directory" if path in self._names else None

    def read(self, path: str) -> str:
        """The file's text. Raises ``FileNotFoundError``, ``IsADirectoryError`` or
        ``NotADirectoryError`` with the path as its message."""
        path = clean_path(path)
        if path in self._files:
            return self._files[path]
        if path in self._names:
            raise IsADirectoryError(path)
        parent = posixpath.dirname(path)
        while parent != "/":
            if parent in self._files:
                raise NotADirectoryError(path)
            parent = posixpath.dirname(parent)
        raise FileNotFoundError(path)

    def names(self, directory: str) -> list[str]:
        """The names in *directory*, sorted; empty if there is no such directory."""
        return sorted(self._names.get(clean_path(directory), ()))
