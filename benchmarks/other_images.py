"""A generator for A/A tests (`grid_aa.py`): it returns the real images it is given, in its own order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.synthesis.kinds import GeneratorContext


@dataclass
class OtherImages:
    """Returns each class's images in a fixed order."""

    images: NDArray[np.uint8]
    by_class: list[NDArray[np.int64]]

    @property
    def limit(self) -> int:
        """Images until a class runs out, the classes in turn."""
        return len(self.by_class) * min(map(len, self.by_class))

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return images (N, H, W, C); arguments as for `Sampler.sample`."""
        return self.images[[self.by_class[k][i] for k, i in zip(labels, indices, strict=True)]]


def fit(real: ImageSet, context: GeneratorContext, **options: Any) -> OtherImages:
    """Return the real images themselves; `trained_on = "upstream"` gives some that no mixture holds."""
    rng = np.random.default_rng(context.seed)
    classes = range(len(real.class_names))
    return OtherImages(real.images, [rng.permutation(np.flatnonzero(real.labels == k)) for k in classes])
