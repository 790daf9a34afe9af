"""Section 13: a cache's credentials, and how it starts."""
