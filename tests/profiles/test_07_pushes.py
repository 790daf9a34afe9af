"""Section 7: pushes to a cache."""
