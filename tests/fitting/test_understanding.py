"""Tables as people make them: their own names, gaps, units and states; what is guessed is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_table import table

from mousterian.errors import InputError
from mousterian.fitting.arms import frame_arms, read_arms, select
from mousterian.fitting.understanding import Understood, read, understood


def of(frame: pd.DataFrame, *columns: tuple[str, str]) -> Understood:
    return understood(read(frame, columns))


def from_text(tmp_path: Path, text: str, name: str = "mine.csv") -> Understood:
    (tmp_path / name).write_text(text)
    return understood(read(tmp_path / name))


def test_unreadable_files_are_named_with_what_to_do(tmp_path: Path) -> None:
    for name, content, message in [
        ("gone.csv", None, "no such file"),
        ("results.docx", b"", "cannot read a table from .docx"),
        ("results.xlsx", b"", "save the sheet as CSV"),
        ("broken.parquet", b"not parquet", "not a readable table"),
        ("text.json", b"accuracy: 0.5", "not JSON, nor a JSON object a line"),
        ("lists.json", b"[[1, 2], [3, 4]]", "rows are objects with a key for each column"),
        ("empty.csv", b"", "the table has no rows"),
        ("header.csv", b"n_base,n_real_plus,n_syn_plus,accuracy\n", "the table has no rows"),
    ]:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as caught:
            read(tmp_path / name)
        assert message in str(caught.value) and name in caught.value.where


def test_columns_never_shift(tmp_path: Path) -> None:
    header = "n_base,n_real_plus,n_syn_plus,top1,top5"
    rows = ["100,0,0,0.5,0.8", "100,0,400,0.6,0.9"]
    plain = from_text(tmp_path, "\n".join([header, *rows])).rows
    ended = "\n".join([header, *(f"{row}," for row in rows)])
    pd.testing.assert_frame_equal(from_text(tmp_path, ended).rows, plain)
    short = "\n".join([header, rows[0], "100,0,400,0.6"])
    assert from_text(tmp_path, short).rows["accuracy"].tolist() == [0.5, 0.6]
    noted = "\n".join([header, rows[0], f"{rows[1]},lost a fold"])
    with pytest.raises(InputError, match=r"row 2 has 6 fields and the header has 5: .*lost a fold"):
        from_text(tmp_path, noted)


def test_empty_rows_keep_the_numbers_of_the_others(tmp_path: Path) -> None:
    text = "sep=;\nn_base;n_real_plus;n_syn_plus;accuracy\n100;0;0;0,5\n\n;;;\n100;0;400;many\n"
    with pytest.raises(InputError, match="accuracy is not a number in row 4: 'many'"):
        from_text(tmp_path, text)


@pytest.mark.parametrize("name", ["acc", "top1", "Top-1", "Test acc (%)", "test/accuracy", "Val. accuracy"])
def test_accuracy_has_many_names_and_acc_rare_is_none_of_them(name: str) -> None:
    found = of(table().rename(columns={"accuracy": name}).assign(acc_rare=0.3, acc_common=0.8))
    assert found.rows["accuracy"].tolist() == table()["accuracy"].tolist()
    with pytest.raises(InputError, match="no column accuracy") as caught:
        of(table().rename(columns={"accuracy": "acc_rare"}).assign(acc_common=0.8))
    assert "looks like" not in caught.value.hint and "--column accuracy=COLUMN" in caught.value.hint


def test_of_two_accuracies_that_of_the_test_set_is_taken_and_said() -> None:
    both = table().rename(columns={"accuracy": "test acc"}).assign(val_acc=0.9)
    found = of(both)
    assert found.rows["accuracy"].max() == 0.75
    assert "Accuracy is the column 'test acc', not 'val_acc'." in found.warnings
    assert of(both, ("accuracy", "val_acc")).rows["accuracy"].eq(0.9).all()
    with pytest.raises(InputError, match="two columns could be accuracy: 'ACC' and 'acc'") as caught:
        of(both.set_axis([*list(table())[:3], "ACC", "acc"], axis=1))
    assert "--column accuracy=" in caught.value.hint


def test_a_column_can_be_named_and_errors_say_which_there_are() -> None:
    own = table().rename(columns={"n_syn_plus": "DALL-E"})
    assert of(own, ("n_syn_plus", "dall e")).rows["n_syn_plus"].sum() == 1600
    with pytest.raises(InputError, match="did you mean 'DALL-E'"):
        of(own, ("n_syn_plus", "DALL-F"))
    with pytest.raises(InputError, match="unknown column 'n_syn_pluss'; did you mean 'n_syn_plus'"):
        of(own, ("n_syn_pluss", "DALL-E"))


def test_ratios_are_multiplied_and_counts_that_are_ratios_are_not_taken_as_images() -> None:
    ratios = table().assign(r_syn=[0, 4, 0, 0, 4, 0, 0, 1], r_real=[0, 0, 1, 0, 0, 1, 0, 0])
    found = of(ratios.drop(columns=["n_syn_plus", "n_real_plus"]))
    assert found.rows["n_syn_plus"].tolist() == table()["n_syn_plus"].tolist()
    assert found.rows["n_real_plus"].tolist() == table()["n_real_plus"].tolist()
    percent = ratios.drop(columns="n_syn_plus").rename(columns={"r_syn": "syn ratio (%)"})
    percent["syn ratio (%)"] *= 100
    assert of(percent).rows["n_syn_plus"].tolist() == table()["n_syn_plus"].tolist()
    with pytest.raises(InputError, match=r"n_real_plus is no whole number of images in row 3: 0.5") as caught:
        of(table(n_real_plus=[0, 0, 0.5, 0, 0, 1, 0, 0]))
    assert "call the column r_real" in caught.value.hint
    [said] = of(table(n_syn_plus=[0, 4, 0, 0, 4, 0, 0, 1])).warnings
    assert said.startswith("n_syn_plus is at most 4, and n_base at least 100: if these are ratios")


def test_two_counts_are_real_and_synthetic_images() -> None:
    two = table()[["n_base", "n_syn_plus", "accuracy"]].set_axis(["n_real", "n_syn", "acc"], axis=1)
    found = of(two)
    assert found.rows["n_base"].tolist() == table()["n_base"].tolist()
    assert found.rows["n_real_plus"].eq(0).all()
    assert any("n_base is 'n_real'" in said for said in found.warnings)
    assert any("n_base is all real images" in said for said in found.warnings)


def test_real_images_beside_a_base_are_those_added_or_all_of_them() -> None:
    added = table().rename(columns={"n_real_plus": "n_real"})
    assert of(added).rows["n_real_plus"].tolist() == table()["n_real_plus"].tolist()
    total = table().assign(n_real=table()["n_base"] + table()["n_real_plus"]).drop(columns="n_real_plus")
    found = of(total)
    assert found.rows["n_real_plus"].tolist() == table()["n_real_plus"].tolist()
    assert "n_real was understood as all real images, those of n_base among them." in found.warnings


def test_percent_signs_are_read_and_must_be_everywhere() -> None:
    shown = [f"{100 * each:.1f} %" for each in table()["accuracy"]]
    np.testing.assert_allclose(of(table(accuracy=shown)).rows["accuracy"], table()["accuracy"])
    assert not of(table(accuracy=shown)).warnings
    with pytest.raises(
        InputError, match=r"accuracy has no percent sign, where other rows have one, in row 2: '0.6'"
    ):
        of(table(accuracy=[shown[0], "0.6", *shown[2:]]))
    small = of(table().rename(columns={"accuracy": "acc (%)"}))
    assert small.rows["accuracy"].max() == 0.75
    assert any("read as fractions, whatever its name says" in said for said in small.warnings)


def test_thousands_and_decimals_are_told_apart_or_refused() -> None:
    german = table(
        n_base=["1.000"] * 8, accuracy=[f"{100 * a:.1f}".replace(".", ",") for a in table()["accuracy"]]
    )
    found = of(german).rows
    assert found["n_base"].eq(1000).all() and found["accuracy"].max() == 0.75
    plain = of(table(n_base=["1,000"] * 8, accuracy=range(50, 58)))
    assert plain.rows["n_base"].eq(1000).all()
    assert "'1,000' was read as 1000, and others likewise." in plain.warnings
    with pytest.raises(
        InputError, match=r"some numbers have decimal points and others decimal commas: '0.5'"
    ):
        of(table(accuracy=["0.5", "0,6", *["0.7"] * 6]))


def test_blank_cells_are_counted_and_set_aside() -> None:
    gaps = table(
        accuracy=[0.5, None, "", "n/a", 0.7, 0.71, 0.72, 0.75], n_syn_plus=[0, 400, 0, 0, None, 0, 0, 400]
    )
    found = of(gaps)
    assert list(found.rows.index) == [1, 6, 7, 8]
    assert found.kept.tolist() == [0, 5, 6, 7]
    [said] = found.warnings
    assert "no accuracy in rows 2, 3, 4" in said
    assert "no n_syn_plus in row 5 (write 0 where none were added)" in said
    weighted = of(table(weight=[1, 0, 1, 1, 1, 1, 1, 2]))
    with pytest.raises(InputError, match="no row can be used: a weight of 0 in rows 1, 2"):
        of(table(weight=0))
    assert 2 not in weighted.rows.index and weighted.warnings == ("Left out: a weight of 0 in row 2.",)


def test_large_seeds_stay_distinct() -> None:
    seeds = [2**60 + number % 3 for number in range(8)]
    for given in (seeds, list(map(str, seeds)), [*seeds[:7], None]):
        found = of(table(seed=pd.Series(given, dtype=object))).rows["training_seed"]
        assert found.dropna().tolist() == [number % 3 for number in range(found.count())]
    with pytest.raises(InputError, match="seed is a float beyond 2\\*\\*53"):
        of(table(seed=np.array(seeds, dtype=float)))


def test_a_column_twice_is_one_or_refused(tmp_path: Path) -> None:
    text = "n_base,n_real_plus,n_syn_plus,accuracy,accuracy\n100,0,0,0.5,0.5\n100,0,400,0.6,{}\n"
    assert from_text(tmp_path, text.format("0.6")).rows["accuracy"].tolist() == [0.5, 0.6]
    with pytest.raises(
        InputError, match=r"'accuracy' is there twice \(columns 4 and 5\).*'0.6' and '0.9' in row 2"
    ):
        from_text(tmp_path, text.format("0.9"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_base": [100.5, *[100] * 7]}, "n_base is no whole number of images in row 1: 100.5"),
        ({"n_syn_plus": [False, True] * 4}, "n_syn_plus is not a number in rows 1, 2"),
        ({"n_base": pd.date_range("2026-01-01", periods=8)}, "n_base is not a number in rows 1, 2"),
        ({"accuracy": [0.5 + 1j, *[0.5] * 7]}, "accuracy is not a number in rows 1, 2"),
        ({"total": ["9", "x", *["9"] * 6]}, "total is not a number in row 2: 'x'"),
    ],
)
def test_fractions_dates_and_booleans_are_no_counts(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        of(table(**changes))


def test_refusals_have_the_users_names() -> None:
    own = table(n_base=[100, -5, *[100] * 6]).rename(columns={"n_base": "Base size", "accuracy": "Acc"})
    with pytest.raises(InputError, match="'Base size' is negative in row 2: -5"):
        of(own)


def test_a_status_of_ones_own_is_understood_or_refused() -> None:
    assert len(of(table(status="finished")).rows) == 8
    assert len(of(table(status=["done", "Completed"] * 4)).rows) == 8
    crashed = of(table(status=["finished"] * 6 + ["crashed", "failed"]))
    assert len(crashed.rows) == 6
    assert crashed.warnings == ("Left out: 2 rows with status crashed, failed.",)
    with pytest.raises(InputError, match="may be finished or not: alt, neu"):
        of(table(status=["alt", "neu"] * 4))


def test_other_columns_of_a_store_mean_nothing_in_anyones_table() -> None:
    own = table(trial=range(8), leaks="none", pool="a", code_revisions="f3a9", error="")
    assert len(frame_arms(own)) == 1
    assert set(frame_arms(own)[0].rows) >= {"n_base", "accuracy"}


def two_generators(name: str) -> pd.DataFrame:
    rows = table()
    other = rows[rows["n_syn_plus"] > 0].assign(accuracy=0.5)
    kinds = rows["n_syn_plus"].gt(0).map({True: "sd15", False: "real"})
    return pd.concat([rows.assign(**{name: kinds}), other.assign(**{name: "gan"})], ignore_index=True)


def test_two_generators_under_another_name_are_not_pooled() -> None:
    with pytest.raises(InputError, match=r"'method' varies among rows of one mixture.*gan, sd15") as caught:
        of(two_generators("method"))
    assert "--column generator=method" in caught.value.hint
    named = of(two_generators("method"), ("generator", "method")).rows
    assert {arm.name: len(arm.rows) for arm in frame_arms(named)} == {"gan": 8, "sd15": 8}
    assert len(of(two_generators("method"), ("unused", "method")).rows) == 11
    assert len(select(named, ["generator=sd15"])) == 8  # rows of real images have no generator, and stay


def test_columns_not_used_are_named_and_warned_of_where_they_vary_within_a_mixture() -> None:
    repeated = pd.concat([table()] * 2, ignore_index=True)
    measured = np.linspace(0.3, 0.6, 16)
    found = of(
        repeated.assign(guidance=[2.0] * 8 + [7.5] * 8, acc_rare=measured, condition=repeated["n_base"])
    )
    assert "not used: guidance, acc_rare, condition" in found.said
    [said] = found.warnings
    assert "Column 'guidance' varies among rows with synthetic images (2.0, 7.5) and is not used" in said


def test_a_blank_name_of_an_arm_is_filled_where_the_others_agree() -> None:
    found = of(table(model=["resnet", None] * 4))
    assert found.rows["model"].eq("resnet").all()
    assert "model is blank in rows 2, 4, 6, 8: taken as resnet, as in all others." in found.warnings
    with pytest.raises(InputError, match="model is blank in row 2, and resnet, vit in others"):
        of(table(model=["resnet", None, "vit", *["vit"] * 5]))


def test_a_spreadsheets_own_names_are_read_alike_with_commas_and_with_semicolons(tmp_path: Path) -> None:
    names = ["Train images (real)", "Extra real", "SD images", "Test acc (%)"]
    frame = table(accuracy=100 * table()["accuracy"]).set_axis(names, axis=1).assign(acc_rare=0.3)
    frame.to_csv(tmp_path / "comma.csv", index=False)
    frame.to_csv(tmp_path / "semicolon.csv", index=False, sep=";", decimal=",")
    one, two = (understood(read(tmp_path / f"{name}.csv")) for name in ("comma", "semicolon"))
    pd.testing.assert_frame_equal(one.rows, two.rows)
    np.testing.assert_allclose(one.rows[list(table())], table())
    assert "not used: acc_rare" in one.said
    assert one.warnings == two.warnings
    assert "n_syn_plus is 'SD images'" in one.warnings[0]


def test_conditions_have_the_users_names_and_come_before_checks(tmp_path: Path) -> None:
    frame = table(accuracy=["lost", *table()["accuracy"][1:]], n_test=100).rename(
        columns={"n_base": "Base size"}
    )
    frame.to_csv(tmp_path / "mine.csv", index=False)
    arms, said = read_arms([str(tmp_path / "mine.csv")], Path(), ["Base size=200"])
    assert len(arms[0].rows) == 3
    assert "columns: n_base = Base size" in said
    with pytest.raises(InputError, match=r"mine.csv: accuracy is not a number in row 1: 'lost'"):
        read_arms([str(tmp_path / "mine.csv")], Path(), [])
