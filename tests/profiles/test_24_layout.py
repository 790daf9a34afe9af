"""Section 24: the storage layout."""
