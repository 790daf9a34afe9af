"""``python -m pullproof``: the ``pullproof`` command."""

from pullproof.commands import pullproof

if __name__ == "__main__":
    pullproof()
