"""CLIP score: do images show what their texts say? (Hessel et al. 2021)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext
from mousterian.training.encoders import clip


def measure(
    pool: ImageSet,
    real: ImageSet,
    test: ImageSet,
    context: MeasureContext,
    *,
    weights: str,
    model: str = "ViT-B-32",
    template: str = "a photo of a {}",
) -> dict[str, float]:
    """Mean cosine, times 100, of images and the texts they were made from; for others, their class's.

    Args:
        pool: synthetic images.
        real: unused.
        test: the dataset's test images.
        context: device, and the pool's prompts.
        weights: file of CLIP's weights, or a tag in open_clip; "" where the model brings them.
        model: name in open_clip, or local-dir:FOLDER.
        template: text of an image without a prompt; {} is its class.

    Returns:
        clip_score of the pool, clip_score_of_test of real images with the template's texts; 0 to 100.
        clip_right: share of the pool that is nearest to its own class's text.
    """
    if "{}" not in template:
        raise InputError(f"template {template!r} has no {{}} for the class", where="clip_score")
    loaded = clip.load(model, weights, context.device)
    texts = [template.format(name.replace("_", " ")) for name in real.class_names]
    of_class = loaded.texts(texts)
    mine, theirs = loaded.images(pool.images), loaded.images(test.images)
    meant = _meant(loaded, context.prompts) if context.prompts else of_class[pool.labels]
    return {
        "clip_score": score(mine, meant),
        "clip_score_of_test": score(theirs, of_class[test.labels]),
        "clip_right": float(((mine @ of_class.T).argmax(1) == pool.labels).mean()),
    }


def _meant(loaded: clip.Clip, prompts: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the vector of each image's prompt (N, D); a prompt of many images is looked at once."""
    different, positions = np.unique(prompts, return_inverse=True)
    return loaded.texts([str(text) for text in different])[positions]


def score(images: NDArray[np.float32], texts: NDArray[np.float32]) -> float:
    """Return 100 times the mean cosine, not below 0, of unit vectors (N, D) and (N, D)."""
    return float(100 * np.einsum("nd,nd->n", images, texts).clip(min=0).mean())
