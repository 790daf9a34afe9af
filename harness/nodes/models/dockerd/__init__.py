"""dockerd: the registry mirrors it uses for an image, and when it falls back to Docker Hub.

``daemon.json`` gives the endpoints; the behaviour of hosts gives the pull::

    config = read_daemon_json('{"registry-mirrors": ["https://mirror.example"]}')
    [endpoint.host for endpoint in endpoints("nginx", config)]
    simulate("nginx", config, {"mirror.example": HostBehaviour(store=False)}).attempts

One endpoint serves the whole pull, manifest to last layer. If anything fails there, the next
endpoint starts from the beginning. Measured on docker 20.10.24.
"""
