"""Section 15: health, metrics, and the debug listener."""
