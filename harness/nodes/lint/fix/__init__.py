"""``pullproof lint --fix``: edits as data become replacements of text.

ruamel.yaml and tomlkit change layout that an edit must keep when they write it back. Here the
result is read back by the format's own parser, and must have exactly the expected values.
"""
