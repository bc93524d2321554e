"""Errors come whole out of another process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from mousterian.errors import InputError, InputErrors

WRONG = InputError("no such class", where="grid.toml:3", hint="name one of a, b")
PLAIN = InputError("no images")


def refuse(error: InputError) -> None:
    raise error


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        yield processes


@pytest.mark.parametrize("error", [WRONG, PLAIN, InputErrors([WRONG, PLAIN])], ids=["all", "what", "several"])
def test_an_error_comes_out_of_a_worker_process_with_all_its_fields(
    elsewhere: ProcessPoolExecutor, error: InputError
) -> None:
    with pytest.raises(InputError) as caught:
        elsewhere.submit(refuse, error).result()
    told = caught.value
    assert type(told) is type(error) and str(told) == str(error)
    assert (told.what, told.where, told.hint) == (error.what, error.where, error.hint)
    assert [str(each) for each in getattr(told, "errors", ())] == [
        str(e) for e in getattr(error, "errors", ())
    ]
