"""What lint found, for people (``text``), programs (``as_json``, ``sarif``) and GitHub (``github``).

Pure: each takes an ``Answer`` and gives text. Nothing of a file is printed with its control
characters, and no line of a file with what may be a password.
"""
