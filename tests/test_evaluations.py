from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mousterian.errors import InputError
from mousterian.evaluations import calibration, class_groups
from mousterian.images import ImageSet, TrialImages
from mousterian.training.loop import Normalised

CPU = torch.device("cpu")


class Reader(nn.Module):
    """A network whose features are the mean of each image, and whose logits are a linear map of these."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.head = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.head.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.mean((2, 3)))


def model_of(weight: Tensor) -> Normalised:
    """Return a classifier of images of three channels, each normalised to 0 to 1."""
    return Normalised(Reader(weight), torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)).eval()


def coloured(labels: list[int], colours: list[tuple[int, int, int]], names: str = "rgb") -> ImageSet:
    """Return an image of 4×4 pixels of one colour for each label."""
    images = np.array(colours, dtype=np.uint8)[:, None, None, :].repeat(4, axis=1).repeat(4, axis=2)
    return ImageSet(images, np.array(labels), tuple(names))


def trial_images(train: ImageSet, test: ImageSet, n_base: int, data_dir: Path | None = None) -> TrialImages:
    return TrialImages(train, test, np.arange(len(train)), None, 0, n_base, data_dir)


RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def test_calibration_error_of_a_table_that_can_be_checked_by_hand() -> None:
    # Two bins: 0.2, 0.4 (none right) and 0.6, 0.8, 1.0 (two of three): (2 * 0.3 + 3 * |2/3 - 0.8|) / 5.
    confidences = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0])
    right = torch.tensor([False, False, True, False, True])
    expected = (0.6 + 0.4) / 5
    assert calibration.calibration_error(confidences, right, 2) == pytest.approx(expected)
    # One bin: accuracy 0.4 against a mean confidence of 0.6.
    assert calibration.calibration_error(confidences, right, 1) == pytest.approx(0.2)


def test_calibration_of_a_classifier_that_is_unsure_of_grey() -> None:
    # log 2 on the diagonal: a colour is told with probability 2/4, grey with 1/3, and grey is called red.
    model = model_of(torch.eye(3) * np.log(2).astype(np.float32))
    images = coloured([0, 1, 0, 1], [RED, GREEN, GREY, GREY])
    found = calibration.evaluate(model, images, CPU, bins=2)
    assert found["top1"] == 0.75
    assert found["confidence"] == pytest.approx((0.5 + 0.5 + 1 / 3 + 1 / 3) / 4)
    assert found["ece"] == pytest.approx(0.75 - 5 / 12)
    assert found["loss"] == pytest.approx(-np.log([1 / 2, 1 / 2, 1 / 3, 1 / 3]).mean())
    with pytest.raises(InputError, match="bins must be 1 or more"):
        calibration.evaluate(model, images, CPU, bins=0)


def test_groups_of_classes_go_by_their_images_in_the_base_set() -> None:
    # S_base has 3 red, 2 green, 1 blue; the real additions after it, all blue, make no other groups.
    train = coloured([0, 0, 0, 1, 1, 2, 2, 2, 2], [RED] * 3 + [GREEN] * 2 + [BLUE] * 4)
    test = coloured([0, 0, 1, 1, 2, 2, 2], [RED, GREY, GREEN, RED, BLUE, BLUE, BLUE])
    model = model_of(torch.eye(3))
    found = class_groups.evaluate_trial(model, trial_images(train, test, 6), CPU, many=2, few=2)
    assert (found["many_shot"], found["medium_shot"], found["few_shot"]) == (1.0, 0.5, 1.0)
    assert found["mean_per_class"] == pytest.approx(2.5 / 3)
    assert found["top1"] == pytest.approx(6 / 7)
    nobody = class_groups.evaluate_trial(model, trial_images(train, test, 6), CPU, many=3, few=1)
    assert nobody["many_shot"] is None and nobody["few_shot"] is None
    with pytest.raises(InputError, match="few = 3 is more than many = 2"):
        class_groups.evaluate_trial(model, trial_images(train, test, 6), CPU, many=2, few=3)
