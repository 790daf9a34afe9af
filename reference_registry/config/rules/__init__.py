"""What a configuration does that its writer may not expect.

Each rule is a function of a configuration that was read and of the profile it is meant for, and
says at most one thing. Its name, with dashes, is the name that is printed; what it is founded on
is named in its docstring: an issue of distribution/distribution, or what was measured on its
releases. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator

from reference_registry.config.problem import Problem
from reference_registry.config.rules import access, effect, expiry
from reference_registry.config.rules.reviewed import Reviewed, Rule

__all__ = ["EXPOSURES", "RULES", "Reviewed", "Rule", "review", "rule_name"]

EXPOSURES: tuple[Rule, ...] = (
    access.private_images_for_everyone,
    access.writable_instead_of_a_cache,
    access.passwords_in_the_clear,
    access.upstream_password_in_the_clear,
    expiry.expiry_deletes_nothing,
)
"""What every start logs: open images, open passwords, a disk that fills."""

RULES: tuple[Rule, ...] = (
    *EXPOSURES,
    access.everyone_may_push,
    access.debug_for_everyone,
    expiry.ttl_at_once,
    expiry.empty_answers_after_removal,
    expiry.delete_on_a_cache,
    expiry.schedule_lost_at_the_end,
    expiry.end_panics,
    expiry.nothing_to_put_off,
    expiry.size_without_files,
    expiry.absences_for_long,
    effect.path_of_upstream_dropped,
    effect.no_basic_auth_upstream,
    effect.dies_without_upstream,
    effect.redis_unused,
    effect.readonly_cache,
    effect.storage_in_memory,
    effect.relative_urls_overruled,
    effect.one_address_twice,
)


def rule_name(rule: Rule) -> str:
    """As it is printed: ``redis-unused``."""
    return rule.__name__.replace("_", "-")


def review(given: Reviewed, rules: tuple[Rule, ...] = RULES) -> Iterator[Problem]:
    """What *rules* have to say of *given*, as warnings."""
    for rule in rules:
        remark = rule(given)
        if remark is not None:
            place = given.place_of(remark.key)
            yield Problem(place, remark.key, remark.why, remark.fix, rule=rule_name(rule))
