"""Section 17: maintenance."""
