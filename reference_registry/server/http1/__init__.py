"""HTTP/1.1 for an ASGI application, on the event loop's own thread.

Why this is our own code: one server has to serve plain HTTP and TLS, cut a single connection
without a response (a Go handler that panics does that), limit head size and idle time, and end
within a drain time. uvicorn 0.54 with httptools qualifies, but this server serves hot blobs twice
as fast; ``docs/performance.md`` has the comparison.

Framing, compared with h11 on 19 ambiguous requests: llhttp, the parser, refuses every request that
h11 refuses, except a missing or repeated ``Host``, ``HTTP/2.0`` in the request line, and
``Transfer-Encoding: gzip, chunked``. It also refuses ``Content-Length`` together with
``Transfer-Encoding``, obsolete line folding and bare line feeds, which h11 accepts.
"""
