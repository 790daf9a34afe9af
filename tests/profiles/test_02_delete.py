"""Section 2: what a cache answers to a deletion."""
