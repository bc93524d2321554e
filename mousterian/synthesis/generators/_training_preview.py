"""A sample sheet of a generator during its training."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
from torch import nn

from mousterian.data.image_set import ImageSet
from mousterian.data.sample_sheet import CLASSES, COLUMNS, sheet
from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.synthesis.kinds import GeneratorContext, Sampler, adaptive_batches, sampler_inputs

SHEET = "training.png"
_IMAGES = 64  # on a sheet, approximately
_TIME_SHARE = 0.02  # fraction of the training time that sample sheets may take
_log = logging.getLogger(__name__)


class Preview:
    """Draws `training.png` in the pool's folder: the pool's first images if training ended now.

    Images have their own seeds and the network is in evaluation mode (no dropout), so that drawing does not
    touch the random streams of the training.

    Args:
        sampler_of: returns the sampler of a network.
        context: classes, seed and the pool's folder.
    """

    def __init__(self, sampler_of: Callable[[nn.Module], Sampler], context: GeneratorContext) -> None:
        self._sampler_of, self._context = sampler_of, context
        self._next = 0.0

    def due(self) -> bool:
        """Return whether enough time has passed since the last sheet."""
        return time.perf_counter() >= self._next

    def draw(self, network: nn.Module) -> None:
        """Draw samples of a network; a failure is logged and does not end the training."""
        began = time.perf_counter()
        network.eval()
        try:
            write_atomically(self._context.folder / SHEET, sheet(self._images(network)))
        except InputError as error:
            _log.warning("no sample sheet of the training: %s", error)
        finally:
            network.train()
        now = time.perf_counter()
        self._next = now + (now - began) / _TIME_SHARE

    def _images(self, network: nn.Module) -> ImageSet:
        context, classes = self._context, len(self._context.class_names)
        columns = min(COLUMNS, max(1, _IMAGES // classes))
        positions = np.arange(columns * classes)
        labels, indices, seeds = sampler_inputs(
            positions[positions % classes < CLASSES], classes, context.seed
        )
        sampler = self._sampler_of(network)
        made = adaptive_batches().map(len(labels), lambda s: sampler.sample(labels[s], indices[s], seeds[s]))
        images = np.concatenate(made)
        return ImageSet(images, labels, context.class_names, np.ones(len(labels), dtype=bool))
