"""Training that is interrupted after a number of batches."""

from __future__ import annotations

import pytest

from mousterian.training.feed import Batch, Feed

_NEXT = Feed.next


class CutError(Exception):
    """Training was interrupted."""


def allow_batches(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the feeds draw so many batches from now on, and then interrupt the training."""
    left = iter(range(count))

    def next_or_cut(self: Feed) -> Batch:
        if next(left, None) is None:
            raise CutError
        return _NEXT(self)

    monkeypatch.setattr(Feed, "next", next_or_cut)
