"""The papers' tables: complete, loadable, fitted with their misprints flagged, and audited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mousterian
from mousterian.__main__ import main
from mousterian.answers.audit import audit_equation, comparable
from mousterian.errors import InputError
from mousterian.fitting import published
from mousterian.fitting.published.equations import EQUATIONS, equation
from mousterian.fitting.table import check
from mousterian.reporting.figures import equation_audit, improvement_ratio
from mousterian.reporting.page import contents

# External synthetic images that help the smallest base set and do harm to the others.
STUDY = Path(__file__).parents[2] / "fits" / "study-fashion" / "fashion_mnist-edm-upstream-joint.json"


@pytest.mark.parametrize("name", published.names())
def test_every_table_is_complete(name: str) -> None:
    found = published.load(name)
    assert found.paper and found.title and found.table
    rows = found.rows
    if name == "mousterian/table-2":  # two pools and their quality; no trials
        assert rows["fid"].notna().any()
        return
    assert not rows[["n_base", "n_real_plus", "n_syn_plus", "accuracy"]].isna().any().any()
    assert rows["accuracy"].between(1, 100).all()
    assert ((rows["n_real_plus"] >= 0) & (rows["n_syn_plus"] >= 0)).all()


def test_every_file_has_its_entry() -> None:
    folder = published._FOLDER
    files = {f"{path.parent.name}/{path.stem}" for path in folder.glob("*/*.csv")}
    assert files == set(published.names())


def test_an_unknown_table_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="mousterian/table-4-sd3"):
        published.load("mousterian/table-4-sd")
    with pytest.raises(InputError, match="eq1"):
        equation("eq11")


def test_gains_printed_beside_table_5_hold() -> None:
    """The paper prints gains as well; two of them, checked against the rows."""
    rows = published.load("mousterian/table-5").rows.set_index(["n_base", "n_syn_plus"])["accuracy"]
    assert rows[6500, 65000] - rows[6500, 0] == pytest.approx(38.71)
    assert rows[26000, 130000] - rows[26000, 0] == pytest.approx(15.39)


def test_gains_of_table_6_and_its_test_sets() -> None:
    """Half of the classes are tested: 50 validation images of each."""
    rows = published.load("mousterian/table-6-sd3").rows.set_index("n_syn_plus")["accuracy"]
    assert rows[650] - rows[0] == pytest.approx(16.54)
    totals = {name: published.load(f"mousterian/table-6-{name}").rows["total"].unique().tolist()
              for name in ("sd2", "sd3", "imagenet-100")}  # fmt: skip
    assert totals == {"sd2": [250], "sd3": [250], "imagenet-100": [2500]}


def test_equation_2_is_audited_against_the_only_table_with_its_base() -> None:
    [name] = [
        name
        for name in published.names()
        if name.startswith("mousterian/") and 26000 in set(published.load(name).rows.get("n_base", ()))
    ]
    assert EQUATIONS["eq2"].table == name == "mousterian/table-5"


def test_a_table_of_pools_cannot_be_fitted() -> None:
    with pytest.raises(InputError, match="no column n_base, accuracy"):
        mousterian.fit("published:mousterian/table-2")


@pytest.mark.parametrize("name", ["table-6-sd2", "table-6-imagenet-100"])
def test_zero_shot_tables_are_refused_in_one_wording(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    why = "what synthetic images are worth cannot be told: real images alone were measured at one size"
    made = mousterian.fit(f"published:mousterian/{name}", bootstrap=20)
    made.save(tmp_path / "fit.json")
    base = float(made.data["n_base"].max())
    for ask in (
        lambda: made.equivalence(n_base=base, n_syn_plus=650),
        lambda: made.equivalences(n_base=base, n_real_plus=[650]),
        lambda: made.marginal_rate(n_base=base),
        lambda: improvement_ratio.draw(made),
    ):
        with pytest.raises(InputError, match=why) as caught:
            ask()
        assert "measure real images alone at another size" in caught.value.hint
    assert made.formula() is None
    assert made.ratio().empty
    [arm] = contents((made,))["arms"]
    assert why in arm["answer"].text.replace("What", "what")
    with pytest.raises(SystemExit):
        main(["fit", f"published:mousterian/{name}", "--bootstrap", "20", "--out", str(tmp_path / "b.json")])
    said = capsys.readouterr().out
    assert f"no equation: {why}" in said
    assert "are worth <1" not in said


def test_ratios_between_measured_sizes_are_marked() -> None:
    made = mousterian.fit("published:mousterian/table-5", surface="complementary", bootstrap=50)
    ratio = made.ratio()
    # Real images alone were measured at 6,500, 26,000 and 130,000: at none of the r of synthetic images.
    assert set(ratio["basis"]) == {"interpolated", "extrapolated"}
    at = ratio.set_index(["n_base", "r"])["basis"]
    assert (at[6500, 1.0], at[130000, 1.0]) == ("interpolated", "extrapolated")
    assert "so the curve's form decides" in improvement_ratio.draw(made).caption
    more = published.load("mousterian/table-5").rows
    more.loc[len(more)] = {
        "n_base": 13000,
        "n_real_plus": 0,
        "n_syn_plus": 0,
        "accuracy": 45.0,
        "total": 5000,
    }
    known = mousterian.fit(more, surface="complementary", bootstrap=50).ratio()
    assert known.set_index(["source", "n_base", "r"])["basis"]["surface", 6500, 1.0] == "measured"


def test_equations_as_printed() -> None:
    # Eq. 1 at n_base 5,000 and n_real_plus 5,000, by hand: 0.6·9.8^(5000/15571.2)·(1.3^5 − 1)·5000.
    assert EQUATIONS["eq1"](5000, 5000) == pytest.approx(5000 * 0.6 * 9.8 ** (5000 / 15571.2) * (1.3**5 - 1))
    assert EQUATIONS["eq2"](2600, 0) == 0


@pytest.fixture(scope="module")
def table_3() -> mousterian.Fit:
    return mousterian.fit("published:mousterian/table-3", bootstrap=200)


def test_the_misprint_of_table_3_is_flagged_and_does_not_bias_the_fit(table_3: mousterian.Fit) -> None:
    [(row, z, reason)] = table_3.outliers
    assert (row["n_base"], row["accuracy"]) == (20000, 0.9765)
    assert z > 5
    assert "above every row with as many synthetic and more real images" in reason
    rows = published.load("mousterian/table-3").rows
    without = mousterian.fit(rows[rows["accuracy"] != 97.65], bootstrap=200)
    base, real = np.full(6, 25000.0), np.array([1000, 2500, 5000, 7500, 12500, 25000.0])
    bent, straight = (fit.averaged.synthetic_for(base, real)[0] for fit in (table_3, without))
    assert np.isfinite(straight).all()
    np.testing.assert_allclose(bent, straight, rtol=0.05)
    asked = [fit.equivalence(n_base=25000, n_real_plus=5000).n_syn_plus for fit in (table_3, without)]
    assert asked[0].estimate == pytest.approx(asked[1].estimate, rel=0.05)


def test_a_published_fit_carries_its_name_and_labels(table_3: mousterian.Fit) -> None:
    assert table_3.name == "mousterian/table-3"
    assert table_3.labels["generator"] == "Vanilla-DDPM"


def test_audit_says_that_eq_1_holds_at_5000_and_not_at_50000(table_3: mousterian.Fit) -> None:
    found = audit_equation(table_3, "eq1").set_index(["n_base", "n_syn_plus"])["factor"]
    assert 0.4 < found[5000, 5000] < 1.5
    assert (found[25000] > 1.5).all()
    assert (found[50000] > 20).all()


def test_an_audit_says_where_synthetic_images_are_worth_no_real_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    harmful = mousterian.Fit.load(STUDY)
    found = audit_equation(harmful, "eq1")
    worthless = found[found["n_real_plus"] == 0]
    assert 0 < len(worthless) < len(found)
    assert (worthless["factor"] == 0).all()
    left = comparable(found)
    off = [max(factor, 1 / factor) for factor in left[left["trust"] == "inside"]["factor"]]
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(STUDY), "--against", "eq1"])
    assert not ended.value.code
    said = " ".join(capsys.readouterr().out.split())
    assert f"typically off by a factor {np.exp(np.median(np.log(off))):.2f}" in said
    assert f"in {len(worthless)} of {len(found)} mixtures the synthetic images are worth no real one" in said
    figure = equation_audit.draw(harmful, against="eq1")
    assert f"Left out: {len(worthless)} mixtures" in figure.caption
    assert len(figure.data) == len(found)


def test_real_images_alone_are_read_at_each_smaller_base() -> None:
    table = check(published.load("mousterian/table-3").rows)
    assert len(table.rows) == 28
    at_5000 = (table.points.n_base == 5000) & (table.points.n_real_plus == 20000)
    assert at_5000.sum() == 1
    weights = np.bincount(table.row, table.share)
    np.testing.assert_allclose(weights, 1)
