"""The stateful differential: random sequences of what clients, upstream, operator and time do, run
on two targets at once. See docs/differential.md.

:mod:`sequences` is data; :mod:`driver` applies operations to one target; :mod:`pair` compares two
targets, lets Hypothesis search for the smallest sequence in which they differ, and renders it.
"""
