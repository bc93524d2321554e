"""CITATION.cff says what pyproject.toml says."""

from __future__ import annotations

import tomllib

import yaml
from conftest import ROOT


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "abstract"} <= cited.keys()  # the first three are required
    for key in ("version", "license", "keywords"):
        assert cited[key] == project[key], key
    assert len(cited["references"]) == 5  # the papers that the package implements
    for paper in cited["references"]:
        assert paper["type"] and paper["title"], paper
        assert all("name" in author or "family-names" in author for author in paper["authors"]), paper
