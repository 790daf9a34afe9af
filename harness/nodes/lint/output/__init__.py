"""What lint found: ``text`` for people, ``as_json`` and ``sarif`` for programs, ``github`` for CI.

Pure: each takes an ``LintReport`` and gives text. Nothing of a file is printed with its control
characters, and no line of a file with what may be a password.
"""
