"""What a process keeps between trials: made once, the last few of a kind, never more."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catdog.core.memo import MOST_PER_KIND, Memo


class Thing:
    """A value that can be watched."""

    def __init__(self, key: object) -> None:
        self.key = key


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, MOST_PER_KIND + 1)), max_size=40))
def test_the_last_used_values_of_each_kind_are_kept_and_no_more(asked: list) -> None:
    memo, used, alive = (
        Memo(),
        {"a": [], "b": []},
        {"a": weakref.WeakSet(), "b": weakref.WeakSet()},
    )
    for kind, key in asked:
        made = []

        def make(kind: str = kind, key: int = key, made: list = made) -> Thing:
            assert len(alive[kind]) < MOST_PER_KIND, "there must be room before the next is made"
            made.append(Thing(key))
            alive[kind].add(made[0])
            return made[0]

        assert memo.get(kind, key, make).key == key
        assert bool(made) == (key not in used[kind])
        used[kind] = [*(k for k in used[kind] if k != key), key][-MOST_PER_KIND:]
        made.clear()
        assert {thing.key for thing in alive[kind]} == set(used[kind])


@pytest.mark.parametrize("value", [None, 0, "", [], 5])
def test_any_value_is_made_once(value: object) -> None:
    memo, calls = Memo(), []
    for _ in range(3):
        assert memo.get("kind", (), lambda: calls.append(1) or value) is value
    assert len(calls) == 1


def test_an_error_passes_and_the_value_is_made_the_next_time() -> None:
    memo = Memo()
    with pytest.raises(ZeroDivisionError):
        memo.get("kind", 1, lambda: 1 // 0)
    assert memo.get("kind", 1, lambda: "made") == "made"


def test_kinds_have_nothing_in_common() -> None:
    memo = Memo()
    for kind in "abc":
        memo.get(kind, "key", lambda kind=kind: kind)
    assert [memo.get(kind, "key", lambda: "again") for kind in "abc"] == ["a", "b", "c"]
    assert Memo().get("a", "key", lambda: "own") == "own"
