"""What kind of cache is this? The results of a few scenarios, as answers for an operator.

:mod:`questions` maps findings of scenarios to answers; :mod:`checks` runs the scenarios, answers
the questions, guesses the release and renders it; :mod:`image` asks a registry without a mock
upstream, with an image of its own.
"""
