"""Section 18: the configuration file, the environment, and exit codes."""
