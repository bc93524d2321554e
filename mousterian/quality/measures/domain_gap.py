"""Domain gap: can a classifier distinguish real from synthetic images? (main paper, Sec. 2.1, Figure 11)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet, concatenate
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext, Points
from mousterian.quality.measures._sampling import subsample
from mousterian.quality.measures.subspace import plane
from mousterian.seeds import seed_for
from mousterian.training.feature_networks import default_recipe, in_batches, penultimate, trained

_DOMAINS = ("real", "synthetic")


class Domains(NamedTuple):
    """As many real as synthetic images, labelled 0 and 1: for training, and held out."""

    train: ImageSet
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
    """Accuracy of a classifier trained to distinguish real from synthetic, on whole images and on patches.

    It is trained on as many real as synthetic images and evaluated on held-out ones: 0.5 is no gap, 1 perfect
    separation. Its penultimate features on two principal components are the plot of Figure 1 (a), saved with
    the values.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: unused.
        context: device and seed; receives the points of the plot.
        model: classifier plug-in (the paper's is a ResNet-101).
        recipe: row of the recipe table; empty: by image size.
        patch: side of a patch in pixels; 0: half of the image's side.
        patches: random patches per image; 0: whole images only.
        held_out: fraction of the images that it is evaluated on.
        most: maximum number of real and of synthetic images.

    Returns:
        domain_accuracy, domain_accuracy_of_patches (0 to 1); domain_error: standard error of the first.
    """
    side = _side(patch, min(real.shape[:2]), patches)
    domains = _domains(pool, real, held_out, most, context.seed)
    accuracy, points = _accuracy(domains, model, recipe, context)
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
        found["domain_accuracy_of_patches"], _ = _accuracy(Domains(*cut), model, recipe, context)
    return found


def _side(patch: int, side: int, patches: int) -> int:
    """Return the side of the patches of images with this shorter side."""
    if patches < 0 or not 0 <= patch <= side:
        raise InputError(
            f"patch is {patch} and patches {patches}; a patch is at most {side} pixels wide",
            where="domain_gap",
        )
    return patch or max(1, side // 2)


def _domains(pool: ImageSet, real: ImageSet, held_out: float, most: int, seed: int) -> Domains:
    """Draw as many real as synthetic images, and split both into training and held-out images."""
    count = min(len(pool), len(real), most)
    split = round(held_out * count)
    if not 0 < split < count:
        raise InputError(
            f"held_out = {held_out} leaves {split} of {count} real and synthetic images for evaluation",
            where="domain_gap",
            hint="use a held_out between 0 and 1, and measure more of the pool",
        )
    training: list[ImageSet] = []
    evaluated: list[ImageSet] = []
    for domain, part in enumerate((real, pool)):
        rows = subsample(len(part), count, f"domain {domain}", seed)
        order = np.random.default_rng(seed_for("quality", "held out", domain, seed)).permutation(rows)
        for subset, chosen in ((evaluated, order[:split]), (training, order[split:])):
            labels = np.full(len(chosen), domain, dtype=np.int64)
            subset.append(ImageSet(part.images[chosen], labels, _DOMAINS, labels.astype(bool)))
    return Domains(concatenate(training), concatenate(evaluated))


def cut_patches(images: ImageSet, side: int, count: int, seed: int) -> ImageSet:
    """Return `count` random square patches of each image, with the image's label and mark."""
    height, width, channels = images.shape
    random = np.random.default_rng(seed)
    sources = np.repeat(np.arange(len(images)), count)
    tops, lefts = (random.integers(0, size - side + 1, len(sources)) for size in (height, width))
    rows, columns = tops[:, None, None] + _along(side, 1), lefts[:, None, None] + _along(side, 2)
    patches = images.images[sources[:, None, None], rows, columns]
    return ImageSet(
        patches.reshape(-1, side, side, channels),
        images.labels[sources],
        images.class_names,
        images.synthetic[sources],
    )


def _along(side: int, axis: int) -> NDArray[np.int64]:
    """Return 0 to side - 1 along one axis of a three-dimensional array."""
    shape = [1, 1, 1]
    shape[axis] = side
    return np.arange(side).reshape(shape)


def _accuracy(domains: Domains, model: str, recipe: str, context: MeasureContext) -> tuple[float, Points]:
    """Train a domain classifier; return its accuracy on the held-out images, and these as points."""
    classifier = trained(
        domains.train,
        model=model,
        recipe_name=recipe or default_recipe(domains.train),
        device=context.device,
        purpose="domain classifier",
        seed=context.seed,
    )
    output = in_batches(penultimate(classifier), domains.held_out.images, context.device)
    if output.probabilities is None:
        raise InputError(f"the model {model!r} has no classes", where="domain_gap")
    correct = output.probabilities.argmax(1) == domains.held_out.labels
    return float(correct.mean()), plane(output.features, domains.held_out)
