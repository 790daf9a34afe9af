"""Packages whose names are imported when somebody asks for one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

__all__ = ["names_of"]


def names_of(module: str) -> Callable[[str], object]:
    """The ``__getattr__`` of a package (PEP 562) that offers what ``__all__`` of *module* lists."""

    def getattribute(name: str) -> object:
        if name == "__all__" or not name.startswith("_"):
            public = import_module(module)
            if name == "__all__" or name in public.__all__:
                return getattr(public, name)
        raise AttributeError(f"module {module.rpartition('.')[0]!r} has no attribute {name!r}")

    return getattribute
