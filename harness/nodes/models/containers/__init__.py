"""skopeo, podman and buildah (containers/image): the sources of an image and the requests to them.

``registries.conf`` gives the sources; the behaviour of hosts gives the pull::

    config = read_registries_conf(text)
    [str(source) for source in pull_sources("reg.example/team/app:v1", config)]
    run("reg.example/team/app:v1", config, network, {}).attempts
"""
