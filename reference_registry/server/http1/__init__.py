"""HTTP/1.1 for an ASGI application, on the event loop's own thread.

A server with a thread of its own passes each request to Python's thread and back, and that costs
more than to answer it from a cache. So plain HTTP/1.1 is spoken here; whatever needs TLS or HTTP/2
is Granian's (``listener``).
"""
