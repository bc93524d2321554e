"""Label ambiguity resolution of Diversify (Section 3.1): which of its meanings a class name has here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.seeds import seed_for
from mousterian.synthesis import language_models
from mousterian.synthesis.prompts._writing import bare, distinct, plain, unmarked

MEANINGS = 5


def resolved(
    class_names: Sequence[str],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    clip: Any,
    language: language_models.Language,
    *,
    seed: int,
) -> list[str]:
    """Return each class name with its meaning, e.g. "crane, a large long-legged bird" (Diversify, Eq. 1).

    The language model lists what the name may mean; the meaning nearest to the class's real images in CLIP
    space is chosen.

    Args:
        class_names: the K classes, in label order.
        images: (N, H, W, C) uint8, real training images.
        labels: (N,) their classes.
        clip: `mousterian.training.encoders.clip.Clip`.
        language: the model.
        seed: of its sampling.

    Raises:
        InputError: the model lists no meanings.
    """
    told = []
    for label, name in enumerate(class_names):
        meanings = _meanings(language, name, seed_for("meanings", seed, label))
        mine = images[labels == label]
        if len(meanings) > 1 and len(mine):
            # The sum over images of the cosines with a meaning is the cosine with the sum of the images.
            meanings = [meanings[int(np.argmax(clip.texts(meanings) @ clip.images(mine).sum(0)))]]
        told.append(f"{plain(name)}, {meanings[0]}")
    return told


def _meanings(language: language_models.Language, name: str, seed: int) -> list[str]:
    request = (
        f'What can "{bare(name)}" mean? Give up to {MEANINGS} different meanings that a photo could'
        " show, each as a short phrase that describes the thing, one on each line, and nothing else."
    )

    def read(reply: str) -> list[str]:
        lines = [unmarked(line).rstrip(".") for line in reply.splitlines()]
        phrases = distinct([line for line in lines if 0 < len(line.split()) <= 15])
        if not phrases:
            raise ValueError("it has no short line")
        return phrases[:MEANINGS]

    return language_models.asked(language, request, read, seed=seed, what=f"the meanings of {bare(name)!r}")
