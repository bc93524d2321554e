"""Can a classifier tell real from synthetic images? (main paper, Section 2.1 and Figure 11)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet, concatenate
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext, Points
from mousterian.quality.measures._sampling import some
from mousterian.quality.measures.subspace import plane
from mousterian.seeds import seed_for
from mousterian.training.feature_networks import default_recipe, in_batches, penultimate, trained

_DOMAINS = ("real", "synthetic")


class Domains(NamedTuple):
    """Real and synthetic images, half and half, labelled 0 and 1: to learn from, and held out."""

    learn: ImageSet
    held_out: ImageSet


def measure(
    pool: ImageSet,
    real: ImageSet,
    test: ImageSet,
    context: MeasureContext,
    *,
    model: str = "small_cnn",
    recipe: str = "",
    patch: int = 0,
    patches: int = 4,
    held_out: float = 0.25,
    most: int = 10_000,
) -> dict[str, float]:
    """Accuracy of a classifier trained to tell real from synthetic, on whole images and on patches.

    It learns from as many real as synthetic images and is asked about others, so 0.5 is no gap and 1 a gap
    that no image bridges. What it sees before its last layer, on two principal components, is the picture of
    Figure 1 (a), kept beside the numbers.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: unused.
        context: device and seed; takes the picture's points.
        model: classifier plug-in (the paper's is a ResNet-101).
        recipe: row of the recipe table; empty: by the size of the images.
        patch: side of a patch in pixels; 0: half of the image's.
        patches: patches from each image, at random places; 0: whole images only.
        held_out: share of the images that it is asked about.
        most: images of each kind, at most.

    Returns:
        domain_accuracy, domain_accuracy_of_patches (0 to 1); domain_error: standard error of the first.
    """
    side = _side(patch, min(real.shape[:2]), patches)
    domains = _domains(pool, real, held_out, most, context.seed)
    accuracy, points = _tell(domains, model, recipe, context)
    context.keep(points)
    found = {
        "domain_accuracy": accuracy,
        "domain_error": float(np.sqrt(accuracy * (1 - accuracy) / len(domains.held_out))),
    }
    if patches:
        cut = [
            cut_patches(part, side, patches, seed_for("quality", "patches", context.seed, number))
            for number, part in enumerate(domains)
        ]
        found["domain_accuracy_of_patches"], _ = _tell(Domains(*cut), model, recipe, context)
    return found


def _side(patch: int, side: int, patches: int) -> int:
    """Return the side of a patch of images with this shorter side."""
    if patches < 0 or not 0 <= patch <= side:
        raise InputError(
            f"patch is {patch} and patches {patches}; a patch is at most {side} pixels wide",
            where="domain_gap",
        )
    return patch or max(1, side // 2)


def _domains(pool: ImageSet, real: ImageSet, held_out: float, most: int, seed: int) -> Domains:
    """Draw as many real as synthetic images and part both into those to learn from and those held out."""
    count = min(len(pool), len(real), most)
    asked = round(held_out * count)
    if not 0 < asked < count:
        raise InputError(
            f"of {count} images of each kind, held_out {held_out} leaves {asked} to ask about",
            where="domain_gap",
            hint="give a held_out between 0 and 1, and measure more of the pool",
        )
    learn: list[ImageSet] = []
    ask: list[ImageSet] = []
    for domain, part in enumerate((real, pool)):
        rows = some(len(part), count, f"domain {domain}", seed)
        order = np.random.default_rng(seed_for("quality", "held out", domain, seed)).permutation(rows)
        for rows_of, chosen in ((ask, order[:asked]), (learn, order[asked:])):
            labels = np.full(len(chosen), domain, dtype=np.int64)
            marks = labels.astype(bool)
            rows_of.append(ImageSet(part.images[chosen], labels, _DOMAINS, marks))
    return Domains(concatenate(learn), concatenate(ask))


def cut_patches(images: ImageSet, side: int, count: int, seed: int) -> ImageSet:
    """Return `count` square patches of each image at random places, with the image's label and mark."""
    height, width, channels = images.shape
    random = np.random.default_rng(seed)
    owners = np.repeat(np.arange(len(images)), count)
    tops, lefts = (random.integers(0, size - side + 1, len(owners)) for size in (height, width))
    rows, columns = tops[:, None, None] + _along(side, 1), lefts[:, None, None] + _along(side, 2)
    patches = images.images[owners[:, None, None], rows, columns]
    return ImageSet(
        patches.reshape(-1, side, side, channels),
        images.labels[owners],
        images.class_names,
        images.synthetic[owners],
    )


def _along(side: int, axis: int) -> NDArray[np.int64]:
    """Return 0 to side - 1 along one axis of a (1, side, side) table."""
    shape = [1, 1, 1]
    shape[axis] = side
    return np.arange(side).reshape(shape)


def _tell(domains: Domains, model: str, recipe: str, context: MeasureContext) -> tuple[float, Points]:
    """Train a classifier of domains; return its accuracy on held-out images, and these as points."""
    classifier = trained(
        domains.learn,
        model=model,
        recipe_name=recipe or default_recipe(domains.learn),
        device=context.device,
        purpose="domain classifier",
        seed=context.seed,
    )
    output = in_batches(penultimate(classifier), domains.held_out.images, context.device)
    if output.probabilities is None:
        raise InputError(f"the model {model!r} gives no classes", where="domain_gap")
    right = output.probabilities.argmax(1) == domains.held_out.labels
    return float(right.mean()), plane(output.features, domains.held_out)
