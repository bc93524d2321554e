"""CF, the CLIP filter of He et al. (2023): keep images that CLIP assigns to their own class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.synthesis.filters._threshold import all_but_lowest
from mousterian.synthesis.kinds import FilterContext, Scores
from mousterian.training.encoders.clip_weights import weights_stamp


def score(
    images: ImageSet,
    real: ImageSet,
    context: FilterContext,
    *,
    model: str,
    weights: str = "",
    prompt: str = "a photo of a {}",
    threshold: float = 0.0,
    drop: float = 0.0,
) -> Scores:
    """Keep images whose own class has a CLIP probability of at least 1/N, for N classes.

    Args:
        images: of the pool.
        real: unused.
        context: device, and block length.
        model: a name of open_clip, or "local-dir:FOLDER".
        weights: a file, or a tag of open_clip; "" if the model includes them.
        prompt: text of a class, with {} for its name.
        threshold: minimum probability; 0: 1/N (He et al.).
        drop: fraction of every block to drop, lowest probabilities first, in place of a threshold, e.g. 0.2.

    Returns:
        The score is the probability of the image's own class (0 to 1).
    """
    from mousterian.training.encoders import clip

    if "{}" not in prompt:
        raise InputError(
            f"prompt {prompt!r} has no {{}} for the class name", hint='write e.g. "a photo of a {}"'
        )
    if threshold and drop:
        raise InputError("clip_confidence takes threshold or drop, not both", where="filter")
    loaded = clip.load(model, weights, context.device)
    texts = loaded.texts([prompt.format(name.replace("_", " ")) for name in images.class_names])
    logits = loaded.scale * (loaded.images(images.images) @ texts.T).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    own = powers[np.arange(len(images)), images.labels] / powers.sum(axis=1)
    if drop:
        return Scores(all_but_lowest(own, drop, context.block), own)
    return Scores(own >= (threshold or 1 / len(images.class_names)), own)


def stamp(data_dir: Path, *, model: str, weights: str) -> str:
    """Return a digest of the weights."""
    return weights_stamp(model, weights, data_dir)
