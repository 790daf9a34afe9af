"""What goes when a cache is too large: the rules themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reference_registry.digest import Digest, digest_of
from reference_registry.proxy.policy.size_limit import Holding, victims


def named(name: object) -> Digest:
    return digest_of(str(name).encode())


def holding(name: object, size: int, used: float) -> Holding:
    return Holding(named(name), size, used)


def anything(_: Holding) -> bool:
    return True


holdings = st.lists(
    st.builds(
        holding, st.integers(0, 10_000), st.integers(0, 120), st.floats(0, 100, allow_nan=False)
    ),
    unique_by=lambda held: held.digest,
    max_size=40,
)


def test_nothing_goes_at_the_bound() -> None:
    assert victims([holding("a", 60, 1), holding("b", 40, 2)], 100, anything) == []


def test_the_least_recently_used_go_down_to_the_low_water() -> None:
    held = [holding(n, 10, used) for n, used in enumerate((5, 1, 3, 2, 4, 6, 7, 8, 9, 10, 11))]
    gone = victims(held, 100, anything)
    assert [h.used for h in gone] == [1, 2]  # 110 bytes: 90 are left


def test_what_is_in_use_stays_and_the_next_one_goes() -> None:
    held = [holding("oldest", 50, 1), holding("older", 50, 2), holding("new", 50, 3)]
    gone = victims(held, 100, lambda h: h.used > 1)
    assert [h.used for h in gone] == [2, 3]


def test_what_is_larger_than_the_bound_goes_alone() -> None:
    held = [holding("small", 90, 1), holding("huge", 101, 9)]
    assert victims(held, 100, anything) == [held[1]]


def test_what_is_larger_than_the_bound_drives_nothing_out_while_it_is_in_use() -> None:
    held = [holding("small", 90, 1), holding("huge", 101, 9)]
    assert victims(held, 100, lambda h: h.size < 100) == []


@given(holdings)
def test_what_is_left_is_below_the_bound_and_no_more_than_needed_went(held: list[Holding]) -> None:
    bound = 100
    gone = victims(held, bound, anything)
    assert len(set(gone)) == len(gone)
    left = [h for h in held if h not in gone]
    assert sum(h.size for h in left) <= bound
    fitting = [h for h in gone if h.size <= bound]
    if fitting:
        # Without the last one to go it would have been above the low water still.
        assert sum(h.size for h in left) + fitting[-1].size > bound * 0.9
        assert sum(h.size for h in held if h.size <= bound) > bound
    assert all(h.used <= kept.used for h in fitting for kept in left)


@given(holdings, st.data())
def test_nothing_in_use_ever_goes(held: list[Holding], data: st.DataObject) -> None:
    busy = {h.digest for h in held if data.draw(st.booleans())}
    gone = victims(held, 100, lambda h: h.digest not in busy)
    assert not busy & {h.digest for h in gone}


@given(holdings)
def test_order_does_not_depend_on_the_order_of_what_is_held(held: list[Holding]) -> None:
    def chosen(of: list[Holding]) -> list[Digest]:
        return [h.digest for h in victims(of, 100, anything) if h.size <= 100]

    assert chosen(held) == chosen(held[::-1])
