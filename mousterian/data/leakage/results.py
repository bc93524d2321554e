"""Results of leak checks, and what they say.

A set is refused with more than 1 % of its test images in train, pixel by pixel. A pool is refused if

- more test images than unseen real images of the same classes have copies in it (p < 0.001), or
- more than 1 % of it, or of the test set, are identical copies, or
- more than 25 % of it are copies, identical or near.

The last two hold whatever unseen images show, as these may be in the pool too. Where there are too few unseen
images to compare with, they stand alone, and the check is uncalibrated. By the same two shares a pool is said
to hold training images, which is no ground to refuse it. Results are made in `checks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mousterian.data.leakage.copies import FEWEST, MOST_COPIES, MOST_EXACT, Copies, TrainingCopies, percent

ALPHA = 0.001
LEAST_SHARE = 0.525  # less nearness does not matter, even where a large pool makes it significant
LEAST_PAIRED, FEWEST_PAIRS = 0.5, 20  # unseen images that are enough: per test image, and in all


class Leaks(Protocol):
    """What every leak check says."""

    @property
    def reason(self) -> str:
        """Why the set or pool is refused; empty if it is not."""

    def sentences(self) -> Sequence[str]:
        """Say what was found, and why it is refused if it is."""

    def summary(self) -> Mapping[str, Any]:
        """Return the counts, and what follows from them, as JSON-like values; a row keeps these."""


@dataclass(frozen=True)
class SetLeaks:
    """Test images of a set that are in its training set.

    Attributes:
        copies: of test images (images) among training images (others).
    """

    copies: Copies

    @property
    def refused(self) -> bool:
        """Whether too many test images are in train, pixel by pixel."""
        return bool(self.reason)

    @property
    def reason(self) -> str:
        """Why the set is refused; empty if it is not."""
        share = self.copies.exact / max(self.copies.images, 1)
        if share <= MOST_EXACT:
            return ""
        return (
            f"{percent(share)} of the test images are in the training set, pixel by pixel; at most"
            f" {percent(MOST_EXACT)} may be"
        )

    def sentences(self) -> list[str]:
        """Say what was found, and why the set is refused if it is."""
        found = [self.copies.sentence("test image", "training image")]
        return [*found, f"The set is refused: {self.reason}."] if self.reason else found

    def summary(self) -> dict[str, Any]:
        """Return the counts, and whether the set is refused."""
        copies = self.copies
        return {
            "test_images": copies.images,
            "training_images": copies.others,
            "identical": copies.exact,
            "near": copies.near,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Nearness:
    """Whether pool images lie nearer to test images than to as many unseen real ones.

    Attributes:
        space: where distances are taken, "pixels" or the name of a feature space.
        images: pool images that have one nearest real image; those with a tie are left out.
        nearer: how many of these have a test image as their nearest real image.
        p_value: chance of that many or more, if test and unseen images are exchangeable.
    """

    space: str
    images: int
    nearer: int
    p_value: float

    @property
    def share(self) -> float:
        """Share of the pool images whose nearest real image is a test image; 0.5 without a leak."""
        return self.nearer / self.images if self.images else 0.5

    @property
    def alarm(self) -> bool:
        """Whether the pool lies nearer to the test images than chance allows."""
        return self.p_value < ALPHA and self.share >= LEAST_SHARE

    def sentence(self) -> str:
        """Say what was found."""
        found = (
            f"In {self.space}, {percent(self.share)} of {self.images:,} pool images lie nearer to a test"
            f" image than to an unseen real image ({_chance(self.p_value)})"
        )
        if self.alarm:
            return f"{found}: the pool lies nearer to the test images than chance allows."
        return f"{found}; about 50 % are expected without a leak."


@dataclass(frozen=True)
class Comparison:
    """Test images that have copies in a pool, beside unseen real images of the same classes.

    Attributes:
        test_exact, test_found: of the paired test images, those with identical copies, and with any.
        unseen_exact, unseen_found: the same of the unseen images that they are paired with.
        p_value: chance of so many more, of either sort, if test and unseen images are exchangeable.
    """

    test_exact: int
    test_found: int
    unseen_exact: int
    unseen_found: int
    p_value: float


@dataclass(frozen=True)
class PoolLeaks:
    """Test images in a pool, image by image and beside real images that its generator has not seen.

    Attributes:
        copies: of pool images (images) among test images (others).
        pairs: test images that were paired with an unseen image of their class.
        comparison: of these; None with too few pairs to compare.
        nearness: in pixels, and in each feature space that was given; none with too few pairs.
        training: copies of training images; None if it was not looked for.
    """

    copies: Copies
    pairs: int = 0
    comparison: Comparison | None = None
    nearness: tuple[Nearness, ...] = ()
    training: TrainingCopies | None = None

    @property
    def calibrated(self) -> bool:
        """Whether there are enough unseen images to say what is usual."""
        return self.pairs >= max(FEWEST_PAIRS, LEAST_PAIRED * self.copies.others)

    @property
    def refused(self) -> bool:
        """Whether the pool holds test images."""
        return bool(self.reason)

    @property
    def near(self) -> bool:
        """Whether the pool lies nearer to the test images than chance allows, in any space."""
        return any(each.alarm for each in self.nearness)

    @property
    def reason(self) -> str:
        """Why the pool is refused; empty if it is not."""
        copies = self.copies
        if self.comparison and self.comparison.p_value < ALPHA:
            return "more test images than unseen real images have copies in it"
        of_pool, of_test = copies.exact / max(copies.images, 1), copies.others_exact / max(copies.others, 1)
        if copies.exact >= FEWEST and max(of_pool, of_test) > MOST_EXACT:
            return (
                f"{percent(of_pool)} of it, and {percent(of_test)} of the test images, are identical"
                f" copies; at most {percent(MOST_EXACT)} may be"
            )
        if copies.found >= FEWEST and copies.found > MOST_COPIES * copies.images:
            return f"more than {percent(MOST_COPIES)} of it are copies of test images"
        return ""

    def sentences(self) -> list[str]:
        """Say what was found, and why the pool is refused if it is."""
        found = [self.copies.sentence("pool image", "test image")]
        if compared := self.comparison:
            found.append(
                f"Of {self.pairs:,} test images {compared.test_found:,} have a copy in the pool, of as many"
                f" real images that its generator has not seen {compared.unseen_found:,}"
                f" ({_chance(compared.p_value)})."
            )
        if not self.calibrated:
            found.append(
                f"Uncalibrated: there are {self.pairs or 'no'} unseen real images of the same classes to"
                f" compare with {self.copies.others:,} test images."
            )
        found += [each.sentence() for each in self.nearness]
        found += self.training.sentences() if self.training else []
        if self.refused:
            found.append(f"The pool holds test images: {self.reason}.")
        return found

    def summary(self) -> dict[str, Any]:
        """Return the counts, and what follows from them."""
        copies, training = self.copies, self.training or TrainingCopies(self.copies.images)
        nearest = max(self.nearness, key=lambda each: each.share, default=None)
        return {
            "pool_images": copies.images,
            "test_images": copies.others,
            "identical": copies.exact,
            "near": copies.near,
            "test_images_copied": copies.others_exact + copies.others_near,
            "calibrated": self.calibrated,
            "nearer_to_test": nearest.share if nearest else None,
            "nearer_than_chance": self.near,
            "training_images_identical": training.seen + training.unseen,
            "holds_training_images": training.alarm,
            "reason": self.reason,
        }


def _chance(p_value: float) -> str:
    return f"p < {ALPHA:g}" if p_value < ALPHA else f"p = {p_value:.2g}"
