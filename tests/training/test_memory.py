"""Work that is done again in smaller parts where memory runs out."""

from __future__ import annotations

import pytest

from mousterian.errors import InputError
from mousterian.training.memory import AdaptiveBatches, with_less_memory


def starved(most: int, size: int, tried: list[int]):
    def step(parts: int) -> str:
        tried.append(parts)
        if size / parts > most:
            raise MemoryError("none left\nat all")
        return "done"

    return step


@pytest.mark.parametrize(
    ("most", "first", "tried"), [(9, 1, [1]), (3, 1, [1, 2, 4]), (1, 1, [1, 2, 4, 8, 16]), (3, 4, [4])]
)
def test_the_number_of_parts_is_doubled_until_they_fit(most: int, first: int, tried: list[int]) -> None:
    seen: list[int] = []
    released: list[int] = []
    found = with_less_memory(
        starved(most, 9, seen), 9, "at all", parts=first, release=lambda: released.append(len(seen))
    )
    assert (found, seen) == (("done", tried[-1]), tried)
    assert released == list(range(1, len(tried)))  # between two attempts, never after the last


def test_memory_for_less_than_one_item_is_an_error_that_says_what_for() -> None:
    seen: list[int] = []
    with pytest.raises(InputError, match=r"does not suffice for one image \(none left\)\n  buy some"):
        with_less_memory(starved(0, 4, seen), 4, "for one image", hint="buy some")
    assert seen == [1, 2, 4]


def test_other_errors_are_raised_at_once() -> None:
    def step(parts: int) -> None:
        raise RuntimeError(f"no such kernel for {parts}")

    with pytest.raises(RuntimeError, match="kernel for 1"):
        with_less_memory(step, 8, "at all")


def test_what_a_failed_attempt_held_is_free_before_the_next() -> None:
    held: list[int] = []

    class Large:
        def __init__(self) -> None:
            held.append(1)

        def __del__(self) -> None:
            held.pop()

    def step(parts: int) -> int:
        alive = len(held)
        own = Large()
        if parts < 4:
            raise MemoryError(f"none left beside {own}")
        return alive

    assert with_less_memory(step, 8, "at all") == (0, 4)


def test_batches_remember_how_many_rows_fit() -> None:
    asked: list[int] = []

    def make(rows: slice) -> range:
        asked.append(rows.stop - rows.start)
        if asked[-1] > 3:
            raise MemoryError
        return range(rows.start, rows.stop)

    batches = AdaptiveBatches("for one row", most=10)
    found = batches.map(25, make)
    assert [row for part in found for row in part] == list(range(25))
    assert asked == [10, 5, 3, *[3] * 7, 1] and batches.most == 3
    assert [list(part) for part in batches.map(2, make)] == [[0, 1]] and batches.most == 3
    assert batches.map(0, make) == []
