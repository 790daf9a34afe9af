"""HTTP/1.1 for an ASGI application, on the event loop's own thread.

Why this is our own code: one server has to serve plain HTTP and TLS, listen on a socket that is
already bound, cut a single connection without a response (as Go does when a handler panics), and
end within a drain time. Granian 2.8 serves differing requests and hot blobs faster, but it needs a
private hook for the socket and a walk over ``/dev/fd`` to cut connections, so it cannot be the one
server. uvicorn 0.54 with httptools can be, and this server serves hot blobs twice as fast.

Measured in one run on two cores that other work also used (load 11 to 15), profile ``ideal``, one
manifest and one 64 MiB blob. Medians of 3 rounds, of 8 for hot blobs; the servers took turns.

====================================================  ======  =======  =======
..                                                    ours    uvicorn  granian
====================================================  ======  =======  =======
requests/s, all requests differ (``wrk``, 16 conns.)   3,855    3,467    9,813
CPU time per request, all differ, microseconds            65       74       76
requests/s, the same request repeated                  9,817    3,698    6,385
CPU time per request, repeated, microseconds              21       74       68
hot blob, 4 clients, MB/s                              1,780      899    2,325
CPU time per GB of hot blob, s                          0.18     0.18     0.21
peak memory, MiB                                          36       33       41
start until first response, s (idle machine)            0.19     0.18     0.17
HTTP/2                                                    no       no      yes
====================================================  ======  =======  =======

Granian's own threads use the second core, which helps most under load. On an idle machine ``wrk``
got 11,536, 12,497 and 18,227 requests/s (all differ) and 45,480, 14,352 and 19,122 (repeated).

Framing, compared with h11 on 19 ambiguous requests: ours and uvicorn share a parser (llhttp) and
refuse every request that h11 refuses, except a missing or repeated ``Host``, ``HTTP/2.0`` in the
request line, and ``Transfer-Encoding: gzip, chunked``. Both refuse ``Content-Length`` together
with ``Transfer-Encoding``, obsolete line folding and bare line feeds, which h11 accepts. Granian
also accepts bare line feeds, and requests whose chunked body is malformed if nothing reads it.
"""
