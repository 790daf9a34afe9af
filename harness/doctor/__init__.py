"""What kind of cache is this? The results of a few scenarios, as answers for an operator.

:mod:`questions` maps findings of scenarios to answers; :mod:`checks` answers the questions from the
results, guesses the release and renders both; :mod:`image` asks a registry without a mock upstream.
"""
