"""What kind of cache is this? The results of a few scenarios, as answers for an operator.

:mod:`questions` maps findings of scenarios to answers; :mod:`checks` runs the scenarios, answers
the questions and guesses the release; :mod:`image` asks a registry without a mock upstream, with an
image of its own; :mod:`render` makes text and JSON.
"""
