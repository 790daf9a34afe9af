"""Section 4: a cache's list of repositories."""
