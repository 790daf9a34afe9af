"""A container registry, standard or pull-through cache, that behaves like a chosen release of CNCF
distribution, or as its users wish it did."""

__version__ = "0.1.0"

PACKAGE = __name__
"""How this package is imported: where it is installed it lies in ``pullproof``."""
