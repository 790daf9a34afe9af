"""``python -m pullproof.reference_registry`` in an editable install.

A wheel has the package of this name beside this module, and the package wins.
"""

from pullproof.commands import registry

if __name__ == "__main__":
    registry()
