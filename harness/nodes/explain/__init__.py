"""``pullproof explain``: which hosts a pull asks, in which order, with which credentials, and why.

Pure: :mod:`~harness.explain.containerd_pull`, :mod:`~harness.explain.containers_pull` and
:mod:`~harness.explain.docker_pull` turn the models of :mod:`harness.nodes.models` into an
:class:`~harness.explain.explanation.Explanation`, which the modules of
:mod:`harness.nodes.explain.render` write down. The edges are :mod:`~harness.explain.files` and
:mod:`~harness.explain.disk`, which read, and :mod:`~harness.explain.probe`, which asks real hosts.
"""
