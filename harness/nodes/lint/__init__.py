"""``pullproof lint``: what is wrong, does nothing or is dangerous in the files around a mirror.

``reading`` opens files, ``parsing`` makes documents of them, ``rules`` has a small pure function
for everything that is known to go wrong, ``engine`` runs them, ``harness.cli.lint`` prints.
"""
