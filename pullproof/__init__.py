"""What tests import that use the fixtures of pullproof: types, authentication, content, clocks.

The fixtures themselves - ``mock_upstream``, ``proxy_registry``, ``registry``, ``oci_content`` and
the factories ``make_mock_upstream``, ``make_proxy_registry``, ``make_registry`` - need no import:
the pytest plugin gives them. Guide: docs/fixtures.md.
"""

from pathlib import Path
from typing import TYPE_CHECKING

# In a wheel harness and reference_registry lie in this directory. In a clone they lie beside it, so
# that `python -m pullproof.reference_registry` has to look there.
_HERE = Path(__file__).resolve().parent
if not (_HERE / "reference_registry").is_dir():
    __path__.append(str(_HERE.parent))

if TYPE_CHECKING:
    from pullproof.public import *  # noqa: F403
else:
    # Nothing of ours may be imported here: pullproof.plugin has yet to look whose harness it is.

    def __getattr__(name: str) -> object:
        """The names of :mod:`pullproof.public`, imported on first use: every run of
        pytest imports this package, and most never need them."""
        from importlib import import_module

        if name == "__all__" or not name.startswith("_"):
            public = vars(import_module(f"{__name__}.public"))
            if name == "__all__":
                return [known for known in public if not known.startswith("_")]
            if name in public:
                return public[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
