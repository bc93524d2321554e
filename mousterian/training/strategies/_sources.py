"""What strategies have in common: a mixture's images by source, and a batch's share of each."""

from __future__ import annotations

from mousterian.training.feed import Stream
from mousterian.training.loop import Task
from mousterian.training.mixture import Mixture


def real(task: Task) -> Mixture:
    """Return S_base and the real images added to it."""
    return task.mixture.take(~task.mixture.synthetic)


def synthetic(task: Task) -> Mixture:
    """Return the synthetic images of the mixture; there may be none."""
    return task.mixture.take(task.mixture.synthetic)


def batch_parts(task: Task, share: float) -> tuple[int, int]:
    """Return how many real and synthetic images a batch has, of which `share` is synthetic.

    The batch has the recipe's size, or the mixture's if that is smaller, as in joint training. A source
    with a share has at least one image in it.
    """
    batch = min(task.recipe.batch_size, len(task.mixture))
    count = round(share * batch)
    if 0 < share < 1:
        count = min(max(count, 1), batch - 1)
    return batch - count, count


def shared_batch(task: Task, share: float, weight: float) -> list[Stream]:
    """Return the streams of real and synthetic images that make up each batch, in exact shares.

    The loss is the mean over the batch of the images' losses, those of synthetic images times `weight`. A
    mixture without synthetic images gives the real stream alone, and a share of 1 the synthetic one.
    """
    pool = synthetic(task)
    if not len(pool):
        return [Stream(task.mixture, task.recipe.batch_size)]
    of_real, of_pool = batch_parts(task, share)
    whole = of_real + of_pool
    streams = [
        Stream(real(task), of_real, of_real / whole, repeats=True),
        Stream(pool, of_pool, weight * of_pool / whole, repeats=True),
    ]
    return [stream for stream in streams if stream.batch_size]
