"""The claims, one file per theme, and what known implementations do otherwise."""
