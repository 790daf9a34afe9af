"""Section 14: users in an htpasswd file."""
