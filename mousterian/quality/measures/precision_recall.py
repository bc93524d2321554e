"""Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) by neighbours."""

from __future__ import annotations

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext
from mousterian.quality.measures._neighbours import balls_around, nearest
from mousterian.quality.measures._sampling import some


def measure(
    pool: ImageSet,
    real: ImageSet,
    test: ImageSet,
    context: MeasureContext,
    *,
    features: str = "",
    neighbours: int = 3,
    most: int = 10_000,
) -> dict[str, float]:
    """How much of the pool lies among real images (precision), and of these among the pool (recall).

    A set's manifold is the union of balls around its images that reach to their k-th neighbour. As many
    real as synthetic images are compared.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: unused.
        context: feature spaces and seed.
        features: feature space; empty: the one that the command names.
        neighbours: k.
        most: images of each kind, at most.

    Returns:
        precision, recall, coverage (0 to 1); density (about 1 for real images).
    """
    count = min(len(pool), len(real), most)
    if not 1 <= neighbours < count:
        raise InputError(
            f"neighbours is {neighbours}, and must be from 1 to {count - 1}", where="precision_recall"
        )
    chosen = [some(len(part), count, "precision", context.seed) for part in (pool, real)]
    mine = context.features(pool, features)[chosen[0]]
    theirs = context.features(real, features)[chosen[1]]
    device = context.device
    my_radii, their_radii = (
        nearest(part, part, neighbours, device, same=True).distances[:, -1] for part in (mine, theirs)
    )
    around_mine = balls_around(mine, theirs, their_radii, device)
    to_mine = nearest(theirs, mine, 1, device).distances[:, 0]
    return {
        "precision": float((around_mine > 0).mean()),
        "recall": float((balls_around(theirs, mine, my_radii, device) > 0).mean()),
        "density": float(around_mine.mean() / neighbours),
        "coverage": float((to_mine <= their_radii).mean()),
    }
