"""Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

from __future__ import annotations

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext
from mousterian.quality.measures._neighbours import balls_around, nearest
from mousterian.quality.measures._sampling import subsample


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
    """Fraction of the pool within the manifold of real images (precision), and vice versa (recall).

    A set's manifold is the union of the balls around its images with the distance of the k-th neighbour as
    radius. As many real as synthetic images are used.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: unused.
        context: feature spaces and seed.
        features: feature space; empty: that of the command.
        neighbours: k.
        most: maximum number of real and of synthetic images.

    Returns:
        precision, recall, coverage (0 to 1); density (about 1 for real images).
    """
    count = min(len(pool), len(real), most)
    if not 1 <= neighbours < count:
        raise InputError(
            f"neighbours is {neighbours}, and must be from 1 to {count - 1}", where="precision_recall"
        )
    chosen = [subsample(len(part), count, "precision", context.seed) for part in (pool, real)]
    of_pool = context.features(pool, features)[chosen[0]]
    of_real = context.features(real, features)[chosen[1]]
    device = context.device
    pool_radii, real_radii = (
        nearest(part, part, neighbours, device, same=True).distances[:, -1] for part in (of_pool, of_real)
    )
    containing = balls_around(of_pool, of_real, real_radii, device)
    to_pool = nearest(of_real, of_pool, 1, device).distances[:, 0]
    return {
        "precision": float((containing > 0).mean()),
        "recall": float((balls_around(of_real, of_pool, pool_radii, device) > 0).mean()),
        "density": float(containing.mean() / neighbours),
        "coverage": float((to_pool <= real_radii).mean()),
    }
