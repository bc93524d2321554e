"""A store's rows hold several arms: the same data and classifier, other sources of synthetic images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from mousterian.apart import told_apart

# What makes rows one arm: the same data, classifier and training, and the same source of synthetic images.
_CONTEXT = ("dataset", "imbalance", "model", "strategy", "recipe", "evaluation")
_SOURCE = ("generator", "trained_on", "n_upstream")
_OPTIONS = ("dataset", "model", "strategy", "recipe", "evaluation", "generator")


def arms(frame: pd.DataFrame) -> dict[str, tuple[dict[str, str], pd.DataFrame]]:
    """Split a store's rows into arms: name -> (labels, rows).

    Rows without synthetic images belong to every arm with the same data, classifier and training. Rows of
    failed and of diverged trials are left out, and so are evaluations that give no accuracy. An arm's name
    is made of its dataset, its generator and of what else sets the arms apart: other plug-ins, and else the
    options in which these differ.
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
    # Arms trained on base and on upstream differ in n_upstream as well, which says nothing more.
    upstream = {each.get("n_upstream") for each, _ in found if each.get("trained_on") == "upstream"}
    told = ("dataset", "generator", "trained_on")
    silent = {*told, "n_upstream"} if len(upstream) < 2 else set(told)
    kept, stems = [], []
    for labels, _ in found:
        own = {c: labels[c] for c in every if labels[c] not in ("", "nan", "{}")}
        other = [c for c in differing if c not in silent and not c.endswith("_options") and labels[c] != "0"]
        kept.append(own)
        stems.append("-".join(own[c] for c in (*told, *other) if c in own) or "all")
    named: dict[str, tuple[dict[str, str], pd.DataFrame]] = {}
    for own, name, (_, rows) in zip(kept, apart(stems, kept), found, strict=True):
        number = sum(1 for other in named if other == name or other.startswith(f"{name}-#"))
        named[name if not number else f"{name}-#{number + 1}"] = (own, rows)
    return named


def apart(names: Sequence[str], labels: Sequence[Mapping[str, str]], *, whole: bool = False) -> list[str]:
    """Return names of arms, where several have one with the options added that tell them apart.

    Args:
        names: of the arms.
        labels: of each, as `arms` gives them.
        whole: add every option in which they differ, not as few as tell them apart.
    """
    found = list(names)
    for name in set(names):
        alike = [index for index, each in enumerate(names) if each == name]
        options = [[labels[index].get(f"{kind}_options", "") for kind in _OPTIONS] for index in alike]
        for index, text in zip(alike, told_apart(options, whole=whole), strict=True):
            found[index] = "-".join(filter(None, (name, text)))
    return found
