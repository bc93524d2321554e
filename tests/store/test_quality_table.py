"""Tables of measured quantities."""

from __future__ import annotations

from typing import Any

import pandas as pd
from conftest import ROOT

from mousterian.plugins import registry
from mousterian.store.quality import COLUMNS, wide


def test_wide_keeps_feature_spaces_apart_and_the_latest_value() -> None:
    common = {"pool": "p", "dataset": "digits", "dataset_options": "{}"}
    rows: list[dict[str, Any]] = [
        {"quantity": "fid", "features": "pixels", "value": 3.0, "images": 100, "finished_at": "2"},
        {"quantity": "fid", "features": "pixels", "value": 2.0, "images": 200, "finished_at": "1"},
        {"quantity": "fid", "features": "inception", "value": 9.0, "images": 100, "finished_at": "1"},
        {"quantity": "domain_accuracy", "features": "", "value": 0.9, "images": 100, "finished_at": "1"},
    ]
    rows = [{**row, "filters": ""} for row in rows]
    rows.append({**rows[1], "value": 1.0, "filters": "[{}]", "finished_at": "3"})  # of part of the pool
    [row] = wide(pd.DataFrame([common | row for row in rows])).to_dict("records")
    assert row == common | {"fid [pixels]": 2.0, "fid [inception]": 9.0, "domain_accuracy": 0.9}


def test_every_column_and_quantity_is_documented() -> None:
    page = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    missing = [name for name, kind, meaning in COLUMNS if f"| `{name}` | {kind} | {meaning} |" not in page]
    assert not missing
    assert not [name for name in registry.working("quality") if f"`{name}`" not in page]
    assert not [name for name in registry.working("features") if f"`{name}" not in page]
