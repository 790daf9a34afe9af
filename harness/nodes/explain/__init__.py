"""``pullproof explain``: the hosts that a pull contacts, in order, with credentials and reasons.

``containerd_pull`` and ``other_clients`` turn the client models into an
:class:`~harness.nodes.explain.explanation.Explanation`, which ``tree`` and ``render`` write.
``questions``, ``files`` and ``disk`` read files; ``probe`` sends requests to real hosts.
"""
