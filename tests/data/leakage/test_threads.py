from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from mousterian.data.leakage.threads import in_threads


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_parts_run_side_by_side_each_with_one_thread_of_torch() -> None:
    both = threading.Barrier(2, timeout=30)  # breaks if one waits for the other to end

    def work(part: int) -> tuple[int, int]:
        both.wait()
        return part, torch.get_num_threads()

    assert in_threads(work, range(4)) == [(part, 1) for part in range(4)]
    assert torch.get_num_threads() == 2


def test_an_error_reaches_the_caller_and_torch_keeps_its_threads() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda part: 1 / part, [1, 0])
    assert torch.get_num_threads() == 2
