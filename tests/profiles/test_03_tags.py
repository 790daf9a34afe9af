"""Section 3: a cache's list of tags."""
