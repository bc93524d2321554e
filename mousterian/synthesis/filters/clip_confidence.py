"""CF, the CLIP filter of He et al. (2023): keep what CLIP takes for the class that it was made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.seeds import weights_stamp
from mousterian.synthesis.filters._threshold import all_but_lowest
from mousterian.synthesis.kinds import FilterContext, Scores


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
    """Keep images to whose own class CLIP gives at least the probability 1/N, of N classes.

    Args:
        images: of the pool.
        real: not looked at.
        context: device, and the length of a block.
        model: a name of open_clip, or "local-dir:FOLDER".
        weights: a file, or a tag of open_clip's; "" where the model brings them.
        prompt: text of a class; {} stands for its name.
        threshold: least probability in place of 1/N; 0: 1/N (He et al.).
        drop: drop this share of every block, the least probable, in place of a threshold, e.g. 0.2.

    Returns:
        The score is the probability of the image's own class (0 to 1).
    """
    from mousterian.training.encoders import clip

    if "{}" not in prompt:
        raise InputError(f"prompt {prompt!r} does not say where the class goes", hint="write {} there")
    if threshold and drop:
        raise InputError("clip_confidence takes threshold or drop, not both", where="filter")
    seen = clip.load(model, weights, context.device)
    texts = seen.texts([prompt.format(name.replace("_", " ")) for name in images.class_names])
    logits = seen.scale * (seen.images(images.images) @ texts.T).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    own = powers[np.arange(len(images)), images.labels] / powers.sum(axis=1)
    if drop:
        return Scores(all_but_lowest(own, drop, context.block), own)
    return Scores(own >= (threshold or 1 / len(images.class_names)), own)


def stamp(data_dir: Path, *, model: str, weights: str) -> str:
    """Return what tells the content of the weights."""
    return weights_stamp(model, weights)
