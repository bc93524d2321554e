"""Quality measures against torch-fidelity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mousterian.data.datasets import digits
from mousterian.quality.kinds import MeasureContext
from mousterian.quality.measures import fid, inception_score, kid, precision_recall


def test_values_equal_those_of_torch_fidelity() -> None:
    """The reference implementation, on the same features."""
    pytest.importorskip("torch_fidelity", reason="the extra `quality` is not installed")
    from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc

    real, held_out = (digits.load(split, Path()) for split in ("train", "test"))
    # Shuffled: neighbours in the file are by the same writers.
    real = real.take(np.random.default_rng(0).permutation(len(real)))
    context = MeasureContext()
    pool = held_out.take(np.arange(400))
    mine, theirs = (torch.from_numpy(context.features(part, "pixels")) for part in (pool, real))
    reference = metric_fid.fid_statistics_to_metric(
        *(metric_fid.fid_features_to_statistics(part) for part in (mine, theirs)), verbose=False
    )["frechet_inception_distance"]
    assert fid.measure(pool, real, held_out, context)["fid"] == pytest.approx(reference, rel=1e-4)

    options = {"prc_neighborhood": 3, "prc_batch_size": 1000, "save_cpu_ram": False, "verbose": False}
    as_many = real.take(np.arange(400))
    reference = metric_prc.prc_features_to_metric(mine, theirs[:400], **options)
    found = precision_recall.measure(pool, as_many, held_out, context)
    assert (found["precision"], found["recall"]) == pytest.approx(
        (reference["precision"], reference["recall"])
    )

    one, other = mine.double().numpy(), theirs[:400].double().numpy()
    reference = metric_kid.kernel_mmd(one, other, kid_kernel_poly_degree=3)
    assert kid.squared_discrepancy(one, other) == pytest.approx(float(reference), rel=1e-9)

    logits = torch.randn(300, 10, generator=torch.Generator().manual_seed(0)) * 3
    reference = metric_isc.isc_features_to_metric(logits, splits=1)["inception_score_mean"]
    assert inception_score.score(logits.softmax(1).numpy()) == pytest.approx(reference, rel=1e-4)
