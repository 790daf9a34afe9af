"""config.yml: what comes of it that its writer may not expect."""

from __future__ import annotations

from harness.nodes.lint.finding import AddKey, RemoveKey
from harness.nodes.lint.rule import Kind, Rules
from harness.nodes.lint.rules.config_selection import review_rule

__all__ = ["rules"]

rules = Rules(Kind.REGISTRY)


review_rule(
    rules,
    "PPC101",
    "expiry-deletes-nothing",
    "error",
    "Expiry without storage.delete.enabled",
    "the scheduler's deletion is refused like a client's and its entry dropped: content stays "
    "for ever",
    "set storage.delete.enabled to true",
    "distribution#4249; measured on all releases",
    AddKey(("storage", "delete", "enabled"), True),
)
review_rule(
    rules,
    "PPC102",
    "empty-answers-after-removal",
    "error",
    "A descriptor cache where content is deleted",
    "the cache goes on promising what expiry or garbage collection removed: 200 with an empty body",
    "remove storage.cache",
    "distribution#2367, distribution#4872; measured on all releases",
    RemoveKey(("storage", "cache")),
)
review_rule(
    rules,
    "PPC103",
    "schedule-lost-at-the-end",
    "warning",
    "The schedule is lost at the end",
    "scheduler-state.json is written every 5 s, and at the end only with draintimeout: what was "
    "cached in between never expires",
    "set http.draintimeout",
    "measured on 2.8.3, 3.0.0, 3.1.1",
    AddKey(("http", "draintimeout"), "30s"),
    only_where="set http.draintimeout",
)
review_rule(
    rules,
    "PPC119",
    "schedule-lost-at-the-end",
    "info",
    "A release that always loses the schedule at the end",
    "2.8 writes scheduler-state.json every 5 s and never at the end: what it lacks never expires",
    "stop the registry when it is idle, or use 3.0 or later",
    "measured on 2.8.2 and 2.8.3",
    only_where="stop it",
)
review_rule(
    rules,
    "PPC104",
    "private-images-for-everyone",
    "warning",
    "Upstream credentials without client auth",
    "whoever reaches the cache can pull every image that its user may pull",
    "add auth.htpasswd or auth.token",
    "distribution#1899; distribution docs, mirror recipe",
)
review_rule(
    rules,
    "PPC105",
    "path-of-upstream-dropped",
    "error",
    "remoteurl with a path",
    "only the request at the start has the path: all others go to the host's /v2/",
    "name the host alone",
    "distribution#3856; measured on all releases",
)
review_rule(
    rules,
    "PPC106",
    "everyone-may-push",
    "warning",
    "Everyone may push",
    "the default is no authentication",
    "add auth.htpasswd or auth.token",
    "distribution docs, configuration",
)
review_rule(
    rules,
    "PPC107",
    "passwords-in-the-clear",
    "warning",
    "Passwords without TLS",
    "Basic authentication sends the password readably",
    "set http.tls, or http.host to https://NAME",
    "RFC 7617, 4",
)
review_rule(
    rules,
    "PPC108",
    "upstream-password-in-the-clear",
    "warning",
    "Upstream credentials over http",
    "they can be read on the way",
    "use https",
    "RFC 7617, 4",
)
review_rule(
    rules,
    "PPC109",
    "debug-for-everyone",
    "info",
    "The debug port is open to everyone",
    "it knows no authentication, offers profiles, and under 3.x shows the redis password",
    "listen on 127.0.0.1",
    "measured on all releases",
)
review_rule(
    rules,
    "PPC110",
    "end-panics",
    "error",
    "The end is a panic",
    "3.0 stops a scheduler that was never made, where ttl is 0 and draintimeout is set",
    "set a ttl, or use 3.1",
    "distribution#4805; measured on 3.0.0",
)
review_rule(
    rules,
    "PPC111",
    "no-basic-auth-upstream",
    "info",
    "An upstream that wants Basic is not possible",
    "before 3.0 credentials go to token servers only",
    "use 3.0 or later for such an upstream",
    "distribution#3153; measured on 2.8.3",
)
review_rule(
    rules,
    "PPC112",
    "dies-without-upstream",
    "info",
    "Upstream must be there at the start",
    "the registry panics with exit code 2 where upstream cannot be reached",
    "let a supervisor start it again",
    "measured on all releases",
)
review_rule(
    rules,
    "PPC113",
    "redis-unused",
    "warning",
    "redis that nothing uses",
    "redis serves the descriptor cache and nothing else",
    "set storage.cache.blobdescriptor to redis, or remove it",
    "distribution docs, configuration",
    RemoveKey(("redis",)),
)
review_rule(
    rules,
    "PPC114",
    "readonly-cache",
    "warning",
    "readonly on a cache",
    "a cache takes no push anyway, and pulls still write to it",
    "remove it",
    "measured on all releases",
    RemoveKey(("storage", "maintenance", "readonly")),
)
review_rule(
    rules,
    "PPC115",
    "storage-in-memory",
    "warning",
    "Storage in memory",
    "everything is lost at the end; the driver is for tests",
    "use filesystem",
    "distribution docs, storage drivers",
)
review_rule(
    rules,
    "PPC116",
    "relative-urls-overruled",
    "warning",
    "relativeurls beside host",
    "http.host wins",
    "remove one of them",
    "measured on all releases",
    RemoveKey(("http", "relativeurls")),
)
review_rule(
    rules,
    "PPC117",
    "one-address-twice",
    "error",
    "One port for two listeners",
    "the second cannot listen, and the registry exits with 1",
    "use another port",
    "measured on all releases",
)
review_rule(
    rules,
    "PPC118",
    "ttl-at-once",
    "error",
    "Everything expires at once",
    "a ttl below a second makes the cache useless",
    "write it as 48h",
    "measured on 3.0.0",
)
