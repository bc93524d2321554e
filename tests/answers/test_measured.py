"""The measured mixtures of a fit: base sizes, real additions, and the point to answer first."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mousterian.answers.measured import base_sizes, real_added, typical_question
from mousterian.api import fit


def test_larger_bases_serve_as_real_additions_where_none_were_measured() -> None:
    rows = pd.DataFrame({"n_base": [50, 50, 200, 800], "n_real_plus": 0, "n_syn_plus": [0, 100, 0, 0]})
    assert real_added(rows, 50)["added"].to_list() == [150, 750]
    own = pd.DataFrame({"n_base": [50, 50, 200], "n_real_plus": [0, 25, 0], "n_syn_plus": 0})
    assert real_added(own, 50)["added"].to_list() == [25]


def test_the_first_answer_is_at_a_middle_base_and_r_real_near_one() -> None:
    mixtures = ((0, 0), (0.5, 0), (1, 0), (0, 4))
    cells = [(base, real * base, syn * base) for base in (50, 200) for real, syn in mixtures]
    rows = pd.DataFrame(cells, columns=["n_base", "n_real_plus", "n_syn_plus"])
    rows["accuracy"] = 0.7 + 0.001 * np.arange(8)
    assert typical_question(fit(rows, surface="loglinear", bootstrap=20)) == (50, 50)
    rows = pd.DataFrame({"n_base": [50, 50, 90, 400, 400, 400], "n_syn_plus": [0, 99, 0, 0, 99, 9]})
    rows["n_real_plus"] = 0
    rows["accuracy"] = [0.5, 0.55, 0.6, 0.7, 0.75, 0.72]
    # 90 images alone are 40 more real images at 50; at 400 there are no more real images.
    assert typical_question(fit(rows, surface="loglinear", bootstrap=20)) == (50, 40)


def test_many_base_sizes_are_thinned_evenly() -> None:
    bases = np.arange(1, 12) * 100.0
    rows = pd.DataFrame({"n_base": np.repeat(bases, 2), "n_real_plus": 0, "n_syn_plus": [0, 50] * 11})
    rows["accuracy"] = 0.5 + 0.05 * np.log(rows["n_base"] / 100) + 0.0001 * rows["n_syn_plus"]
    many = fit(rows, surface="loglinear", bootstrap=20)
    assert base_sizes(many, most=3) == [100, 600, 1100]
