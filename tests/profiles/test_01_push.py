"""Section 1: what a cache answers to a push."""
