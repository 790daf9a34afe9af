"""What kind of cache is this? A few scenarios, read as answers for an operator.

``questions`` says which look of which scenario answers what; ``checks`` runs them and reads;
``image`` asks what can be asked with somebody's own image, where no mock upstream stands behind the
registry; ``likeness`` guesses the release; ``render`` prints.
"""
