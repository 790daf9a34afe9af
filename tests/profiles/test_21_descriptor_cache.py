"""Section 21: the cache of blob descriptors."""
