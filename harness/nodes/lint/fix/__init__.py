"""``pullproof lint --fix``: edits as data become replacements at known places of a text.

Every edit is a text edit. tomlkit and ruamel.yaml write a document anew from their model of it:
ruamel.yaml changes indentation, quotes and folded lines that nobody asked about, and tomlkit has no
way to rename a key or to change one item of an array and touch nothing else. What a replacement
does not cover stays as it was, byte for byte. Whether it did what it should is then read back by
the format's own parser (``meaning``), so that a mistake here cannot spoil a file.

``pieces`` says where values stand, ``yaml_pieces`` and ``bracket_pieces`` find them, ``tree_edits``
and ``toml_edits`` turn edits into replacements, ``repair`` runs the passes (pure), ``replacing``
replaces files, ``diff`` shows what would change.
"""
