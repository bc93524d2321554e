"""`mousterian quality`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mousterian.verbs import STORE


def quality(
    *pools: str,
    store: Path = STORE,
    real: str = "",
    features: str = "",
    measure: Sequence[str] = (),
    filter: Sequence[str] = (),
    option: Sequence[str] = (),
    images: int = 0,
    seed: int = 0,
    device: str = "auto",
    data_dir: Path | None = None,
    again: bool = False,
    json: bool = False,
) -> int:
    """Measure pools against real images: FID, precision, domain gap, memorisation and more.

    Parameters
    ----------
    pools
        Pools by the first digits of their hash or by path; class folders, .npz or parquet that someone else
        made (then name --real). None: all pools of the store.
    store
        Folder of the store; what is measured is kept in it.
    real
        Dataset of real images: a name, or a table {name = "...", ...}; default: the pool's own.
    features
        Feature space, e.g. pixels, classifier:digits, timm:resnet18:PATH, clip:ViT-B-32:PATH, inception;
        default: classifier:DATASET for all measures that do not choose themselves.
    measure
        Quality measure; may be repeated. None: all that need no option. `mousterian list quality` shows them.
    filter
        Measure only what this filter keeps of the pool, as trials see it: its name, or the first digits of
        its scores' hash; a grid file made these; may be repeated.
    option
        MEASURE.KEY=VALUE: an option of a measure, e.g. domain_gap.patches=0; may be repeated.
    images
        Measure so many images, the first of each pool; 0: all that are there.
    seed
        Seed of random choices.
    device
        cpu, cuda, cuda:1, or auto.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    again
        Measure again what the store has.
    json
        Print as JSON.
    """
    from mousterian import measuring

    request = measuring.Request(
        tuple(pools),
        store,
        real,
        features,
        tuple(measure),
        tuple(filter),
        tuple(option),
        images,
        seed,
        device,
        data_dir,
        again,
    )
    return measuring.run(request, json)
