"""The stateful differential: random stories of what clients, upstream, operator and time do, played
on two targets at once. See docs/differential.md.

:mod:`operations`, :mod:`model` and :mod:`stories` are data and decisions; :mod:`stage` does what
they say to one target; :mod:`twins` compares two; :mod:`search` lets Hypothesis look for the
smallest story in which two targets differ.
"""
