"""config.yml: valid configurations with a surprising effect, which ``reference_registry.config``
reviews."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from harness.nodes.lint.documents import TextFile, spot_of
from harness.nodes.lint.finding import AddKey, Edit, RemoveKey
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules, entries

__all__ = ["rules"]

rules = Rules(Kind.REGISTRY)

_EDITS: Mapping[str, Edit] = {
    "PPC101": AddKey(("storage", "delete", "enabled"), True),
    "PPC102": RemoveKey(("storage", "cache")),
    "PPC103": AddKey(("http", "draintimeout"), "30s"),
    "PPC113": RemoveKey(("redis",)),
    "PPC114": RemoveKey(("storage", "maintenance", "readonly")),
    "PPC116": RemoveKey(("http", "relativeurls")),
}

_TABLE = """
PPC101 error  Expiry without storage.delete.enabled
    review: expiry-deletes-nothing
    why: the registry rejects the scheduler's deletion as it would a client's, and drops the entry:
        content is never deleted
    fix: set storage.delete.enabled to true
    source: distribution#4249; measured on all releases
PPC102 error  Descriptor cache together with deletion
    review: empty-answers-after-removal
    why: the cache still has descriptors of blobs that expiry or garbage collection deleted: 200
        with an empty body
    fix: remove storage.cache
    source: distribution#2367, distribution#4872; measured on all releases
PPC103 warning  Expiry schedule lost at shutdown
    review: schedule-lost-at-the-end
    when: set http.draintimeout
    why: scheduler-state.json is written every 5 s, and at shutdown only if draintimeout is set:
        what was cached since the last write never expires
    fix: set http.draintimeout
    source: measured on 2.8.3, 3.0.0, 3.1.1
PPC104 warning  Upstream credentials without client authentication
    review: private-images-for-everyone
    why: anyone who can reach the cache can pull every image that its upstream user may pull
    fix: add auth.htpasswd or auth.token
    source: distribution#1899; distribution docs, mirror recipe
PPC105 error  remoteurl with a path
    review: path-of-upstream-dropped
    why: only the startup request uses the path: all others go to /v2/ of the host
    fix: name only the host
    source: distribution#3856; measured on all releases
PPC106 warning  Anyone can push
    review: everyone-may-push
    why: there is no authentication by default
    fix: add auth.htpasswd or auth.token
    source: distribution docs, configuration
PPC107 warning  Passwords without TLS
    review: passwords-in-the-clear
    why: Basic authentication sends the password in clear text
    fix: set http.tls, or http.host to https://NAME
    source: RFC 7617, 4
PPC108 warning  Upstream credentials over HTTP
    review: upstream-password-in-the-clear
    why: anyone on the network path can read them
    fix: use https
    source: RFC 7617, 4
PPC109 info  Debug listener reachable from outside
    review: debug-for-everyone
    why: it has no authentication, serves profiles, and on 3.x shows the redis password
    fix: listen on 127.0.0.1
    source: measured on all releases
PPC110 error  Panic at shutdown
    review: end-panics
    why: with ttl 0 and draintimeout, 3.0 stops a scheduler that was never created
    fix: set a ttl, or use 3.1
    source: distribution#4805; measured on 3.0.0
PPC111 info  Upstream that requires Basic authentication
    review: no-basic-auth-upstream
    why: before 3.0, credentials are sent to token servers only
    fix: use 3.0 or later for such an upstream
    source: distribution#3153; measured on 2.8.3
PPC112 info  Upstream must be reachable at startup
    review: dies-without-upstream
    why: otherwise the registry panics with exit code 2
    fix: run it under a supervisor that restarts it
    source: measured on all releases
PPC113 warning  Unused redis section
    review: redis-unused
    why: only the descriptor cache uses redis
    fix: set storage.cache.blobdescriptor to redis, or remove the section
    source: distribution docs, configuration
PPC114 warning  readonly on a cache
    review: readonly-cache
    why: a cache rejects pushes anyway, and pulls still write to it
    fix: remove it
    source: measured on all releases
PPC115 warning  Storage in memory
    review: storage-in-memory
    why: everything is lost at shutdown; the driver is for tests
    fix: use filesystem
    source: distribution docs, storage drivers
PPC116 warning  relativeurls together with host
    review: relative-urls-overruled
    why: http.host takes precedence
    fix: remove one of them
    source: measured on all releases
PPC117 error  Two listeners on one port
    review: one-address-twice
    why: the second one cannot listen, and the registry exits with 1
    fix: use another port
    source: measured on all releases
PPC118 error  Everything expires at once
    review: ttl-at-once
    why: a ttl below a second makes the cache useless
    fix: write a duration such as 48h
    source: measured on 3.0.0
PPC119 info  Release that always loses the schedule at shutdown
    review: schedule-lost-at-the-end
    when: stop it
    why: 2.8 writes scheduler-state.json every 5 s and never at shutdown: what was cached since the
        last write never expires
    fix: stop the registry when it is idle, or use 3.0 or later
    source: measured on 2.8.2 and 2.8.3
"""
"""``review`` names a rule of ``reference_registry.config.rules``; ``when`` is how its advice begins
if that rule has several."""


def _check(
    rule_id: str, fields: Mapping[str, str], file: TextFile, context: RuleContext
) -> Iterator[Hit]:
    from reference_registry.config.rules import RULES, Reviewed, rule_name

    review = next(rule for rule in RULES if rule_name(rule) == fields["review"])
    found = file.reading(context.profile)
    if found.attempted is None:
        return
    given = Reviewed(found.attempted, context.profile, file.path, found.places)
    remark = review(given)
    if remark is None or not remark.fix.startswith(fields.get("when", "")):
        return
    # A wrong value was replaced by its default: what follows from that is not worth a finding.
    for problem in (*found.problems, *found.overlooked):
        if problem.key == remark.key and problem.rule not in {"no-effect", "half-a-credential"}:
            return
    edits = (_EDITS[rule_id],) if rule_id in _EDITS else ()
    what = f"{remark.key}: {remark.why}"
    yield Hit(spot_of(given.place_of(remark.key)), what, remark.fix, edits)


for _id, _severity, _fields in entries(_TABLE):
    _run = partial(_check, _id, _fields)
    rules.add(_id, _severity, _fields, _run, by="registry", fixable=_id in _EDITS)
