from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.errors import InputError
from mousterian.fitting.arms import arms
from mousterian.training.evaluations import (
    accuracy,
    calibration,
    class_groups,
    clip_zero_shot,
    knn,
    leep,
    linear_probe,
    out_of_domain,
)
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


def coloured(
    labels: list[int], colours: list[tuple[int, int, int]], names: Sequence[str] = "rgb"
) -> ImageSet:
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
    # log 2 on the diagonal: a colour has probability 2/4, grey 1/3, and grey is called red.
    model = model_of(torch.eye(3) * np.log(2).astype(np.float32))
    images = coloured([0, 1, 0, 1], [RED, GREEN, GREY, GREY])
    found = calibration.evaluate(model, images, CPU, bins=2)
    assert found["top1"] == 0.75
    assert found["confidence"] == pytest.approx((0.5 + 0.5 + 1 / 3 + 1 / 3) / 4)
    assert found["ece"] == pytest.approx(0.75 - 5 / 12)
    assert found["loss"] == pytest.approx(-np.log([1 / 2, 1 / 2, 1 / 3, 1 / 3]).mean())


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


SHADES = [(230, 10, 0), (10, 240, 20), (0, 30, 200), (250, 0, 10), (20, 220, 0), (10, 0, 250)]


def mixed_up() -> Normalised:
    """Return a classifier with features that distinguish colours and a head that mislabels every one."""
    return model_of(torch.eye(3).roll(1, 0))


def test_neighbours_and_a_probe_read_features_and_not_the_head() -> None:
    train = coloured([0, 1, 2, 0, 1, 2], SHADES)
    test = coloured([0, 1, 2], [RED, GREEN, BLUE])
    images = trial_images(train, test, 6)
    assert accuracy.evaluate(mixed_up(), test, CPU)["top1"] == 0.0
    assert knn.evaluate_trial(mixed_up(), images, CPU, neighbours=2)["top1"] == 1.0
    probed = linear_probe.evaluate_trial(mixed_up(), images, CPU)
    assert probed["top1"] == 1.0 and probed["loss"] < 1


def test_neighbours_come_from_the_base_set_alone() -> None:
    # The blue image is a real addition: S_base has none, so that blue is called red or green.
    train = coloured([0, 1, 2], [RED, GREEN, BLUE])
    test = coloured([2, 2], [BLUE, (0, 0, 200)])
    assert knn.evaluate_trial(mixed_up(), trial_images(train, test, 3), CPU)["top1"] == 1.0
    assert knn.evaluate_trial(mixed_up(), trial_images(train, test, 2), CPU)["top1"] == 0.0


def test_votes_are_weighed_by_their_cosine() -> None:
    bank = torch.nn.functional.normalize(
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]]), dim=1
    )
    query = torch.nn.functional.normalize(torch.tensor([[2.0, 1.0]]), dim=1)
    owners = torch.tensor([0, 1, 1, 1])
    found = knn.votes(query, bank, torch.nn.functional.one_hot(owners), 3, 0.5)
    near, far = np.exp((2 / 5**0.5 - 1) / 0.5), 2 * np.exp((1 / 5**0.5 - 1) / 0.5)
    np.testing.assert_allclose(found.numpy(), [[near, far]], rtol=1e-5)
    assert knn.votes(query, bank, torch.nn.functional.one_hot(owners), 99, 1e9).tolist() == [
        pytest.approx([1, 3])
    ]


def test_a_probe_is_the_logistic_regression_that_scikit_learn_finds() -> None:
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 90)
    features = random.normal(size=(90, 4)) + labels[:, None] * [1.0, -0.5, 0.0, 0.2]
    tensors = (torch.tensor(features, dtype=torch.float32), torch.tensor(labels))
    weight, bias = linear_probe.fit(*tensors, classes=3, decay=0.1, iterations=200)
    theirs = LogisticRegression(C=1 / (0.1 * len(labels)), tol=1e-8, max_iter=1000).fit(features, labels)
    np.testing.assert_allclose(weight.numpy(), theirs.coef_, atol=2e-3)
    expected = theirs.intercept_ - theirs.intercept_.mean()
    np.testing.assert_allclose((bias - bias.mean()).numpy(), expected, atol=2e-3)


def test_a_fifth_of_each_class_is_held_out_to_choose_the_decay() -> None:
    labels = torch.tensor([1, 0, 1, 2, 1, 1, 1, 1, 1, 0])
    assert linear_probe.held_out(labels).nonzero().flatten().tolist() == [2, 8, 9]


def test_leep_of_a_worked_example() -> None:
    # Two images of class 0 and one of class 1; the joint of labels and answers is [[1.4, .6], [.2, .8]] / 3.
    theta = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8]])
    first, second = 1.4 / 1.6, 0.6 / 1.4
    expected = np.log(
        [
            0.8 * first + 0.2 * second,
            0.6 * first + 0.4 * second,
            0.2 * (1 - first) + 0.8 * (1 - second),
        ]
    ).mean()
    assert leep.leep(theta, torch.tensor([0, 0, 1])) == pytest.approx(expected, rel=1e-6)


def test_leep_is_zero_for_perfect_predictions_and_minus_the_entropy_for_uninformative_ones() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    assert leep.leep(torch.eye(2)[1 - labels], labels) == pytest.approx(0.0)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert leep.leep(torch.full((4, 5), 0.2), labels) == pytest.approx(-entropy, rel=1e-6)


def other_set(folder: Path, labels: list[int], colours: list[tuple[int, int, int]], **more: object) -> str:
    """Save images as an .npz of test images alone and return its path."""
    test = coloured(labels, colours)
    np.savez(folder / "other.npz", test_images=test.images, test_labels=test.labels, **more)
    return str(folder / "other.npz")


def test_another_set_is_matched_by_class_names_and_predictions_keep_to_its_classes(tmp_path: Path) -> None:
    train = coloured([0, 1, 2], [RED, GREEN, BLUE])
    images = trial_images(train, train, 3, tmp_path)
    # Its classes stand in another order and there is no red: what looks red is called by the next best.
    path = other_set(tmp_path, [0, 1, 1], [BLUE, GREEN, (255, 128, 0)], class_names=np.array(["b", "g"]))
    found = out_of_domain.evaluate_trial(
        model_of(torch.eye(3)), images, CPU, dataset={"name": "npz", "path": path}
    )
    assert found["top1"] == 1.0 and found["total"] == 3
    assert "other.npz" in found["evaluation_set"] and found["evaluation_set"].endswith("/test")
    assert np.isnan(found["per_class"][0]) and found["per_class"][1:] == [1.0, 1.0]


def test_numbered_classes_are_the_classifiers_and_any_evaluation_can_be_asked(tmp_path: Path) -> None:
    train = coloured([0, 1, 2], [RED, GREEN, BLUE])
    images = trial_images(train, train, 3, tmp_path)
    dataset = {"name": "npz", "path": other_set(tmp_path, [0, 1, 2, 2], [RED, GREEN, BLUE, RED])}
    evaluation = {"name": "calibration", "bins": 1}
    found = out_of_domain.evaluate_trial(
        model_of(torch.eye(3)), images, CPU, dataset=dataset, evaluation=evaluation
    )
    assert found["top1"] == 0.75
    assert found["ece"] == pytest.approx(0.75 - found["confidence"])


def test_a_set_of_other_classes_is_refused_by_name(tmp_path: Path) -> None:
    train = coloured([0, 1], [RED, GREEN], names=("crane", "snake"))
    images = trial_images(train, train, 2, tmp_path)
    names = np.array(["crane", "snakes"])
    dataset = {"name": "npz", "path": other_set(tmp_path, [0, 1], [RED, GREEN], class_names=names)}
    with pytest.raises(InputError, match="1 of its classes are not the classifier's: snakes") as caught:
        out_of_domain.evaluate_trial(model_of(torch.eye(3)), images, CPU, dataset=dataset)
    assert "is 'snakes' the classifier's 'snake'" in caught.value.hint


def test_frozen_features_transfer_to_another_dataset_at_another_size(tmp_path: Path) -> None:
    train = coloured([0, 1, 2], [RED, GREEN, BLUE])
    images = trial_images(train, train, 3, tmp_path)
    halves = np.repeat(np.arange(2), 3)
    pictures = np.zeros((6, 9, 7, 3), dtype=np.uint8)
    pictures[halves == 0, ..., 0] = [[[200]], [[210]], [[220]]]
    pictures[halves == 1, ..., 1] = [[[200]], [[210]], [[220]]]
    arrays = {
        "train_images": pictures,
        "train_labels": halves,
        "test_images": pictures,
        "test_labels": halves,
    }
    np.savez(tmp_path / "two.npz", **arrays)
    for evaluation in (knn, linear_probe):
        found = evaluation.evaluate_trial(mixed_up(), images, CPU, dataset={"name": "npz", "path": "two.npz"})
        assert found["top1"] == 1.0 and len(found["per_class"]) == 2
    found = leep.evaluate_trial(mixed_up(), images, CPU, dataset={"name": "npz", "path": "two.npz"})
    assert np.log(0.5) < found["leep"] < 0 and found["evaluation_set"].endswith("/train")


def test_clip_answers_from_class_names_alone(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    import tiny

    from mousterian.training.encoders import clip

    folder = f"local-dir:{tiny.clip(tmp_path)}"
    test = coloured([0, 1, 2], [RED, GREEN, BLUE], names=("red", "green", "sky_blue"))
    templates = ("a photo of a {}", "the colour {}")
    found = clip_zero_shot.evaluate(mixed_up(), test, CPU, weights="", clip=folder, templates=templates)
    loaded = clip.load(folder, "", "cpu")
    texts = [
        loaded.texts([f"a photo of a {name}", f"the colour {name}"]) for name in ("red", "green", "sky blue")
    ]
    classes = np.stack([vectors.mean(0) / np.linalg.norm(vectors.mean(0)) for vectors in texts])
    cosines = loaded.images(test.images) @ classes.T
    assert found["top1"] == pytest.approx((cosines.argmax(1) == test.labels).mean())
    exponents = np.exp(loaded.scale * cosines)
    expected = -np.log(exponents[range(3), range(3)] / exponents.sum(1)).mean()
    assert found["loss"] == pytest.approx(expected, rel=1e-4)


def test_an_evaluation_without_an_accuracy_makes_no_arm_to_fit() -> None:
    rows = [
        {"evaluation": evaluation, "n_base": 10, "n_syn_plus": count, "top1": top1, "status": "done"}
        for evaluation, top1 in (("accuracy", 0.5), ("leep", None))
        for count in (0, 10)
    ]
    assert [len(part) for _, part in arms(pd.DataFrame(rows)).values()] == [2]
