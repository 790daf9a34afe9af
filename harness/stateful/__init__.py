"""The stateful differential: random sequences of what clients, upstream, operator and time do, run
on two targets at once. See docs/differential.md.

:mod:`operations` and :mod:`sequences` are data; :mod:`driver` applies operations to one target;
:mod:`pair` compares two targets, and lets Hypothesis search for the smallest sequence in which they
differ; :mod:`render` makes texts of the outcome.
"""
