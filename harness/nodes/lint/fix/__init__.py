"""``pullproof lint --fix``: edits as data become replacements of text.

Libraries that write a document back lose more than an edit may: ruamel.yaml changes indentation,
quotes and folded lines, and tomlkit cannot rename a key or change one item of an array in place.
Here everything outside a replacement stays as it was, byte for byte, and the result is read back by
the format's own parser: an edit that does not give exactly the expected values is not made.
"""
