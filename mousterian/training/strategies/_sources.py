"""Helpers of strategies: a mixture's images by source, and their shares of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from mousterian.training.feed import Stream
from mousterian.training.loop import Task
from mousterian.training.mixture import Mixture


def real(task: Task) -> Mixture:
    """Return S_base and the real images added to it."""
    return task.mixture.take(~task.mixture.synthetic)


def synthetic(task: Task) -> Mixture:
    """Return the synthetic images of the mixture; there may be none."""
    return task.mixture.take(task.mixture.synthetic)


def batch_counts(task: Task, share: float) -> tuple[int, int]:
    """Return the numbers of real and synthetic images in a batch of which `share` is synthetic.

    The batch has the recipe's size, or the mixture's if smaller, as in joint training. With a share
    strictly between 0 and 1, each source has at least one image.
    """
    batch = min(task.recipe.batch_size, len(task.mixture))
    count = round(share * batch)
    if 0 < share < 1:
        count = min(max(count, 1), batch - 1)
    return batch - count, count


def longest_steps(task: Task, streams: Sequence[Stream]) -> int:
    """Return the recipe's number of steps on the stream that takes the most."""
    return max(
        task.recipe.model_copy(update={"batch_size": each.batch}).steps(len(each.mixture)) for each in streams
    )


def mixed_batch(task: Task, share: float, weight: float) -> list[Stream]:
    """Return the streams of real and synthetic images that make up each batch, in exact shares.

    The loss is the mean over the batch of the images' losses, with synthetic images weighted by `weight`. A
    mixture without synthetic images has the real stream alone, a share of 1 the synthetic one alone.
    """
    pool = synthetic(task)
    if not len(pool):
        return [Stream(task.mixture, task.recipe.batch_size)]
    n_real, n_synthetic = batch_counts(task, share)
    total = n_real + n_synthetic
    streams = [
        Stream(real(task), n_real, n_real / total, repeats=True),
        Stream(pool, n_synthetic, weight * n_synthetic / total, repeats=True),
    ]
    return [stream for stream in streams if stream.batch_size]
