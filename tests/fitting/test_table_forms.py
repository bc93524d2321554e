"""One table in every form in which spreadsheets, pandas and R write it is read back the same, or refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mousterian.errors import InputError
from mousterian.fitting.understanding import read, understood

COUNTS = ["n_base", "n_real_plus", "n_syn_plus"]
NAMES = {
    "n_base": ("n_base", "N base", "Base size", "nBase", "Base images (real)"),
    "n_real_plus": ("n_real_plus", "Extra real", "Real added", "n_real+"),
    "n_syn_plus": ("n_syn_plus", "n_syn", "SD images", "Synthetic (added)", "generated"),
    "accuracy": ("accuracy", "acc", "top1", "Top-1 acc.", "Test acc (%)", "test_accuracy"),
    "training_seed": ("training_seed", "seed", "Run", "Train seed"),
    "total": ("total", "n_test", "Test images"),
    "generator": ("generator", "Generator"),
    "acc_größe": ("acc_größe",),
}


def spreadsheet(
    path: Path, frame: pd.DataFrame, separator: str, decimal: str, thousands: str, encoding: str
) -> None:
    """Cells as they are shown, a separator at the end of each row, empty rows below."""

    def shown(column: str, cell: object) -> str:
        if isinstance(cell, float):
            return str(cell).replace(".", decimal)
        grouped = isinstance(cell, int) and "eed" not in column and column != "Run"
        return f"{cell:,}".replace(",", thousands) if grouped else str(cell)

    records = frame.astype(object).to_dict("records")
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow([*frame, ""])
        writer.writerows(
            [*(shown(column, cell) for column, cell in record.items()), ""] for record in records
        )
        writer.writerows([[""] * (len(frame.columns) + 1)] * 3)


def of_r(path: Path, frame: pd.DataFrame, separator: str, decimal: str, corner: str) -> None:
    """As write.table, write.csv and write.csv2 do: text in quotes, names of rows."""

    def shown(cell: object) -> str:
        return f'"{cell}"' if isinstance(cell, str) else str(cell).replace(".", decimal)

    rows = enumerate(frame.astype(object).to_numpy().tolist(), 1)
    body = [separator.join([f'"{number}"', *map(shown, row)]) for number, row in rows]
    path.write_text("\n".join([corner + separator.join(map(shown, frame)), *body, ""]), encoding="utf-8")


def scientific(path: Path, frame: pd.DataFrame) -> None:
    frame.assign(**{frame.columns[0]: [f"{cell:.15e}" if isinstance(cell, float) else cell
                                       for cell in frame.iloc[:, 0]]}).to_csv(path)  # fmt: skip


FORMS: dict[str, Callable[[Path, pd.DataFrame], object]] = {
    "index.csv": lambda path, frame: frame.to_csv(path),
    "quoted.csv": lambda path, frame: frame.to_csv(path, index=False, quoting=csv.QUOTE_ALL),
    "scientific.csv": scientific,
    "tabs.tsv": lambda path, frame: frame.to_csv(path, sep="\t", index=False, encoding="utf-16"),
    "bars.txt": lambda path, frame: frame.to_csv(path, sep="|", index=False, encoding="latin-1"),
    "unmarked.txt": lambda path, frame: frame.to_csv(path, sep="\t", decimal=",", encoding="utf-16-le"),
    "european.csv": lambda path, frame: frame.to_csv(path, sep=";", decimal=",", encoding="utf-8-sig"),
    "commas.csv": lambda path, frame: frame.to_csv(path, decimal=",", quoting=csv.QUOTE_ALL, index=False),
    "german.csv": lambda path, frame: spreadsheet(path, frame, ";", ",", ".", "cp1252"),
    "french.csv": lambda path, frame: spreadsheet(path, frame, ";", ",", "\u00a0", "cp1252"),
    "english.csv": lambda path, frame: spreadsheet(path, frame, ",", ".", ",", "utf-8-sig"),
    "unicode.txt": lambda path, frame: spreadsheet(path, frame, "\t", ".", ",", "utf-16"),
    "r.csv": lambda path, frame: of_r(path, frame, ",", ".", '"",'),
    "r2.csv": lambda path, frame: of_r(path, frame, ";", ",", '"";'),
    "r.txt": lambda path, frame: of_r(path, frame, " ", ".", ""),
    "r.tsv": lambda path, frame: of_r(path, frame, "\t", ",", ""),
    "records.json": lambda path, frame: frame.to_json(path, orient="records"),
    "columns.json": lambda path, frame: frame.to_json(path),
    "split.json": lambda path, frame: frame.to_json(path, orient="split"),
    "schema.json": lambda path, frame: frame.to_json(path, orient="table"),
    "rows.json": lambda path, frame: frame.to_json(path, orient="index"),
    "lines.jsonl": lambda path, frame: frame.to_json(path, orient="records", lines=True),
    "text.json": lambda path, frame: path.write_text(json.dumps(frame.astype(str).to_dict("records"))),
    "table.parquet": lambda path, frame: frame.to_parquet(path),
    "text.parquet": lambda path, frame: frame.astype(str).to_parquet(path, index=False),
}


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Rows under canonical names, accuracies as fractions or in percent, seeds that floats would merge."""
    counts = st.tuples(st.integers(30, 2 * 10**6), st.integers(0, 9999), st.integers(0, 3 * 10**6))
    rows = draw(st.lists(st.tuples(counts, st.integers(200, 9999)), min_size=2, max_size=6))
    accuracy = np.array([each for _, each in rows]) / (100 if draw(st.booleans()) else 10_000)
    first = draw(st.sampled_from([0, 10, 2**53, 2**62]))
    return pd.DataFrame([row for row, _ in rows], columns=COUNTS).assign(
        accuracy=accuracy,
        training_seed=range(first, first + len(rows)),
        total=10_000,
        generator="Müller & Söhne",
        **{"acc_größe": np.round(accuracy / 2, 3)},
    )


def written(
    folder: str, data: st.DataObject, frame: pd.DataFrame, forms: Sequence[str] = tuple(sorted(FORMS))
) -> tuple[Path, dict[str, str]]:
    """Write a table in some form, its columns in some order under some names; return these."""
    path = Path(folder) / data.draw(st.sampled_from(forms))
    order = data.draw(st.permutations(list(frame)))
    names = {name: data.draw(st.sampled_from(NAMES[name])) for name in order}
    FORMS[path.name](path, frame[order].rename(columns=names))
    return path, names


@given(tables(), st.data())
@settings(deadline=None, max_examples=150)
def test_a_table_is_read_back_the_same_in_every_form(frame: pd.DataFrame, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path, names = written(folder, data, frame)
        found = understood(read(path))
    rows, accuracy = found.rows, frame["accuracy"].to_numpy()
    np.testing.assert_array_equal(rows[[*COUNTS, "total"]], frame[[*COUNTS, "total"]])
    percent = accuracy.max() > (1 if "%" in names["accuracy"] else 1.5)
    np.testing.assert_allclose(rows["accuracy"], accuracy / 100 if percent else accuracy, rtol=1e-12)
    assert rows["training_seed"].diff().iloc[1:].eq(1).all()
    assert set(rows["generator"]) == {"Müller & Söhne"}
    assert list(rows.index) == list(range(1, len(frame) + 1))
    assert f"not used: {names['acc_größe']}" in found.said


@given(tables(), st.data())
@settings(deadline=None, max_examples=100)
def test_what_is_no_number_is_refused_with_its_place(frame: pd.DataFrame, data: st.DataObject) -> None:
    column = data.draw(st.sampled_from([*COUNTS, "accuracy", "total"]))
    cell = data.draw(st.sampled_from(["many", "True", "2024-05-01", "1.2.3", "12e", "1-2", "5 000 0"]))
    row = data.draw(st.integers(1, len(frame)))
    broken = frame.astype({column: object})
    broken.loc[row - 1, column] = cell
    with TemporaryDirectory() as folder:
        # Columns of text and numbers are none in parquet.
        path, names = written(folder, data, broken, sorted({*FORMS} - {"table.parquet"}))
        with pytest.raises(InputError) as caught:
            understood(read(path))
    said = str(caught.value)
    assert f"is not a number in row {row}: {cell!r}" in said
    assert names[column] in said
