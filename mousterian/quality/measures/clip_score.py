"""CLIP score: similarity of images and their prompts (Hessel et al. 2021)."""

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
    """Mean cosine similarity, times 100, of images and their prompts, or, without prompts, their class names.

    Args:
        pool: synthetic images.
        real: unused.
        test: the dataset's test images.
        context: device, and the pool's prompts.
        weights: file of CLIP's weights, or a tag of open_clip; "" if the model includes them.
        model: name in open_clip, or local-dir:FOLDER.
        template: text for images without prompts, with {} for the class name.

    Returns:
        clip_score of the pool, clip_score_of_test of test images with the template; 0 to 100.
        clip_right: zero-shot accuracy on the pool: fraction of images closest to their own class's text.
    """
    if "{}" not in template:
        raise InputError(f"template {template!r} has no {{}} for the class name", where="clip_score")
    loaded = clip.load(model, weights, context.device)
    texts = [template.format(name.replace("_", " ")) for name in real.class_names]
    of_class = loaded.texts(texts)
    of_pool, of_test = loaded.images(pool.images), loaded.images(test.images)
    of_prompt = _text_features(loaded, context.prompts) if context.prompts else of_class[pool.labels]
    return {
        "clip_score": score(of_pool, of_prompt),
        "clip_score_of_test": score(of_test, of_class[test.labels]),
        "clip_right": float(((of_pool @ of_class.T).argmax(1) == pool.labels).mean()),
    }


def _text_features(loaded: clip.Clip, prompts: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the embedding of each image's prompt (N, D); repeated prompts are encoded once."""
    distinct, positions = np.unique(prompts, return_inverse=True)
    return loaded.texts([str(text) for text in distinct])[positions]


def score(images: NDArray[np.float32], texts: NDArray[np.float32]) -> float:
    """Return 100 times the mean cosine, clipped at 0, of unit vectors (N, D) and (N, D)."""
    return float(100 * np.einsum("nd,nd->n", images, texts).clip(min=0).mean())
