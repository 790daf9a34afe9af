"""Section 22: TLS, and the URLs of answers."""
