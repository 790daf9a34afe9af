"""What lint found: ``report`` for people, ``machine_readable`` and ``sarif`` for programs and CI.

Pure: each takes a ``LintReport`` and returns text. Control characters from a file are escaped, and
lines that may contain a password are not printed.
"""
