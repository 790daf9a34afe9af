"""``python -m harness``: the ``pullproof`` command, where its script is not on the search path."""

from harness.cli import script

if __name__ == "__main__":
    script()
