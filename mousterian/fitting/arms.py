"""A store's rows hold several arms: the same data and classifier, other sources of synthetic images."""

from __future__ import annotations

import pandas as pd

# What makes rows one arm: the same data, classifier and training, and the same source of synthetic images.
_CONTEXT = ("dataset", "imbalance", "model", "strategy", "recipe", "evaluation")
_SOURCE = ("generator", "trained_on", "n_upstream")
_OPTIONS = ("dataset", "model", "strategy", "recipe", "evaluation", "generator")


def arms(frame: pd.DataFrame) -> dict[str, tuple[dict[str, str], pd.DataFrame]]:
    """Split a store's rows into arms: name -> (labels, rows).

    Rows without synthetic images belong to every arm with the same data, classifier and training. Rows of
    failed and of diverged trials are left out, and so are evaluations that give no accuracy. An arm's name
    is made of its dataset, its generator and of what else sets the arms apart.
    """
    if "status" in frame:
        frame = frame[frame["status"] == "done"]
    context = [c for c in (*_CONTEXT, *(f"{c}_options" for c in _OPTIONS[:-1])) if c in frame]
    source = [c for c in (*_SOURCE, "generator_options") if c in frame]
    keyed = frame.assign(**{c: frame[c].astype(str) for c in (*context, *source)})
    alone = pd.to_numeric(keyed["n_syn_plus"], errors="coerce") == 0
    found: list[tuple[dict[str, str], pd.DataFrame]] = []
    groups = keyed.groupby(context, sort=True) if context else [((), keyed)]
    for _, rows in groups:
        if "top1" in rows and rows["top1"].isna().all():
            continue
        real, synthetic = rows[alone.loc[rows.index]], rows[~alone.loc[rows.index]]
        parts = [part for _, part in synthetic.groupby(source, sort=True)] if source else [synthetic]
        for part in parts or [synthetic]:
            members = pd.concat([real, part]).index
            first = (part if len(part) else real).iloc[0]
            found.append(({c: str(first[c]) for c in (*context, *source)}, frame.loc[members]))
    return _named(found)


def _named(
    found: list[tuple[dict[str, str], pd.DataFrame]],
) -> dict[str, tuple[dict[str, str], pd.DataFrame]]:
    every = found[0][0] if found else {}
    differing = [c for c in every if len({labels[c] for labels, _ in found}) > 1]
    named: dict[str, tuple[dict[str, str], pd.DataFrame]] = {}
    for labels, rows in found:
        kept = {c: labels[c] for c in every if labels[c] not in ("", "nan", "{}")}
        told = ("dataset", "generator", "trained_on")
        # Arms trained on base and on upstream differ in n_upstream as well, which says nothing more.
        upstream = {each.get("n_upstream") for each, _ in found if each.get("trained_on") == "upstream"}
        silent = {*told, "n_upstream"} if len(upstream) < 2 else set(told)
        other = [c for c in differing if c not in silent and not c.endswith("_options") and labels[c] != "0"]
        stem = "-".join(kept[c] for c in (*told, *other) if c in kept) or "all"
        number = sum(1 for other in named if other == stem or other.startswith(f"{stem}-#"))
        named[stem if not number else f"{stem}-#{number + 1}"] = (kept, rows)
    return named
