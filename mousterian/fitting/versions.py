"""Which rows are of one revision and content: a fit never mixes results of two versions of code or files.

Real rows and synthetic rows of one version have the same revisions and stamps of dataset, model, strategy and
evaluation. Those of the generator and of filters are versions of synthetic rows alone: real rows serve all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mousterian.store.versions import COLUMNS, of_real_rows, parts_of

KEPT, OLDER, NEWER = "kept", "older", "newer"
_COUNTS = ["n_base", "n_real_plus", "n_syn_plus"]


def standing(frame: pd.DataFrame, context: Sequence[str], source: Sequence[str]) -> pd.Series:
    """Return for each row whether it is of the version to be fitted (KEPT), of an OLDER or a NEWER one.

    Fitted is the newest version that has a base-alone row and one with real additions; where none has both,
    the newest. Newer are higher revisions, and of equal ones the last finished.

    Args:
        frame: finished rows; without the columns of versions all of them are kept.
        context: columns of data, classifier and training.
        source: columns of the source of synthetic images.
    """
    found = pd.Series(KEPT, index=frame.index)
    if not {*COLUMNS, *_COUNTS} <= set(frame) or len(frame[[*COLUMNS]].drop_duplicates()) < 2:
        return found
    rows = pd.concat([frame[[*context, *source]].astype(str), _versions(frame)], axis=1)
    found = _by_age(rows, context, "real_version")
    synthetic = rows[(found == KEPT) & rows["synthetic"]]
    found.loc[synthetic.index] = _by_age(synthetic, [*context, *source], "version")
    return found


def of_version(frame: pd.DataFrame, column: str, text: str) -> pd.Series:
    """Return which rows the text of a version names: (N,) bool, the real rows of that version among them."""
    said = _texts(frame, column)
    real = pd.to_numeric(frame["n_syn_plus"], errors="coerce") == 0 if "n_syn_plus" in frame else False
    return (said == text) | (real & (said == of_real_rows(column, text)))


def labels(rows: pd.DataFrame) -> dict[str, str]:
    """Return the version of an arm's rows by column, where there is more to say than that it is the first."""
    # Rows with synthetic images say what real ones say, and more.
    texts = {column: max(_texts(rows, column).unique(), key=len) for column in COLUMNS if column in rows}
    return {column: text for column, text in texts.items() if text != COLUMNS[column]}


def sentences(frame: pd.DataFrame, context: Sequence[str], source: Sequence[str]) -> list[str]:
    """Return what to say of the rows that are not of the version fitted; arguments as for `standing`."""
    found = standing(frame, context, source)
    columns = [c for c in (*context, *source, *_COUNTS) if c in frame]
    count = {part: _trials(frame[found == part]) for part in (OLDER, NEWER)}
    said = []
    if count[OLDER]:
        kept, older = (frame.loc[found == part, columns].astype(str) for part in (KEPT, OLDER))
        cells = older.drop_duplicates().merge(kept.drop_duplicates(), how="left", indicator=True)
        missing = int((cells["_merge"] == "left_only").sum())
        runs = f"{missing} of their cells are still to run with the newer (`mousterian grid` runs them)"
        said.append(f"{count[OLDER]} trials of older code or files are left out; {runs}")
    if count[NEWER]:
        lacking = "they lack a base-alone trial or one with real additions"
        said.append(f"{count[NEWER]} trials of newer code or files are left out, as {lacking}")
    return said


def _trials(rows: pd.DataFrame) -> int:
    return int(rows["trial"].nunique()) if "trial" in rows else len(rows)


def _texts(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return a column of versions as texts, with what missing values stand for."""
    return frame[column].astype(object).where(frame[column].notna(), COLUMNS[column]).astype(str)


def _versions(frame: pd.DataFrame) -> pd.DataFrame:
    """Return of each row the version, that of its real rows, how new both are, and what it was trained on."""
    revisions, stamps = (_texts(frame, column) for column in COLUMNS)
    real = [
        text.map({each: of_real_rows(column, each) for each in text.unique()})
        for column, text in zip(COLUMNS, (revisions, stamps), strict=True)
    ]
    real_plus, synthetic = (pd.to_numeric(frame[name], errors="coerce") > 0 for name in _COUNTS[1:])
    return pd.DataFrame(
        {
            "version": revisions + "|" + stamps,
            "real_version": real[0] + "|" + real[1],
            "version_revisions": revisions.map(_raised),
            "real_version_revisions": real[0].map(_raised),
            "finished": frame["finished_at"].fillna("").astype(str) if "finished_at" in frame else "",
            "alone": ~real_plus & ~synthetic,
            "real_plus": real_plus,
            "synthetic": synthetic,
        }
    )


def _raised(text: str) -> int:
    """Return how often the code that a text of `code_revisions` names was revised."""
    return sum(int(each) - 1 for each in parts_of(text).values())


def _by_age(rows: pd.DataFrame, groups: Sequence[str], version: str) -> pd.Series:
    """Return of each row whether its version is that to be fitted of its group, an older or a newer one."""
    group = rows.groupby(list(groups), dropna=False).ngroup() if groups else pd.Series(0, index=rows.index)
    found = (
        rows.assign(group=group)
        .groupby(["group", version])
        .agg(
            alone=("alone", "any"),
            real_plus=("real_plus", "any"),
            revisions=(f"{version}_revisions", "max"),
            finished=("finished", "max"),
        )
        .sort_values(["revisions", "finished"])
    )
    found["age"] = found.groupby("group").cumcount()
    found["complete"] = found["alone"] & found["real_plus"]
    fitted = found.sort_values(["complete", "age"]).groupby("group")["age"].last()
    later = found["age"] - found.index.get_level_values("group").map(fitted.to_dict())
    keys = pd.MultiIndex.from_arrays([group, rows[version]])
    signs = np.sign(later.reindex(keys).to_numpy())
    return pd.Series(np.array([OLDER, KEPT, NEWER], dtype=object)[signs.astype(int) + 1], index=rows.index)
