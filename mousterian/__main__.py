"""The verbs of the command line. Each imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mousterian import __version__
from mousterian.errors import InputError

STORE = Path("results/store")
FITS = Path("results/fits")
REPORTS = Path("results/reports")
# What the extra `train` installs; the base install does without.
TRAIN_PACKAGES = {"torch", "torchvision", "diffusers", "timm", "sklearn", "safetensors", "PIL"}

_verbs: dict[str, Callable[..., Any]] = {}


def verb(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function a verb of the command line, under its own name."""
    _verbs[function.__name__.rstrip("_").replace("_", " ", 1)] = function
    return function


@verb
def grid(
    file: Path,
    *,
    store: Path = STORE,
    device: str = "auto",
    workers: int = 0,
    seeds: int | None = None,
    only: Sequence[str] = (),
    executor: str = "local",
    data_dir: Path | None = None,
    dry_run: bool = False,
    retry_failed: bool = False,
    json: bool = False,
) -> int:
    """Run the trials of a grid file that are not yet in the store.

    Parameters
    ----------
    file
        The grid file (TOML).
    store
        Folder of the store; finished trials there are never run again.
    device
        cpu, cuda, cuda:1, or auto.
    workers
        Processes; 0: one for each core, or one for an accelerator.
    seeds
        Use training seeds 0 to SEEDS - 1 in place of the file's.
    only
        COLUMN=VALUE: run only the trials with that value, e.g. n_base=300; may be repeated.
    executor
        Where trials run.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    dry_run
        List what would run and how long it would take, and run nothing.
    retry_failed
        Run failed trials again.
    json
        Print the outcome as JSON.
    """
    from mousterian import sweep

    request = sweep.Request(
        file, store, device, workers, seeds, tuple(only), executor, data_dir, retry_failed
    )
    return sweep.dry_run(request, json) if dry_run else sweep.run(request, json)


@verb
def fit(
    *tables: str,
    store: Path = STORE,
    where: Sequence[str] = (),
    surface: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    out: Path = FITS,
    json: bool = False,
    latex: bool = False,
    python: bool = False,
    strict: bool = False,
) -> int:
    """Fit accuracy surfaces to a table of trials; save the equivalence with its intervals.

    Parameters
    ----------
    tables
        Files (CSV, TSV, parquet, JSON), folders of stores, or published:NAME; without any, the store.
    store
        Folder of the store.
    where
        COLUMN=VALUE: use only the rows with that value; may be repeated.
    surface
        A surface (`mousterian list surfaces`), or auto: all, weighted by how well they explain the data.
    bootstrap
        Draws that intervals are made of.
    seed
        Seed of those draws.
    out
        Folder for the fits, one file for each arm, or a .json file for a single one.
    json
        Print the fits as JSON.
    latex
        Print the equations in LaTeX.
    python
        Print the equations as Python functions.
    strict
        Exit with 4 if the heaviest surface has parameters that the table cannot tell.
    """
    from mousterian import answers

    arms, failed = answers.read_arms(tables, store, where)
    saved = answers.fit(arms, out, surface=surface, bootstrap=bootstrap, seed=seed)
    if json:
        answers.print_json([made.to_json() for made, _ in saved])
    elif latex:
        print("\n".join(formula.latex for made, _ in saved if (formula := made.formula())))
    elif python:
        print("\n\n".join(answers.as_python(made) for made, _ in saved))
    else:
        answers.show_fits(saved, failed)
    unknown = answers.unidentified(saved) if strict else []
    for sentence in unknown:
        print(f"mousterian: {sentence}", file=sys.stderr)
    return 4 if unknown else 0


@verb
def equivalence(
    fit: Path,
    *,
    n_base: float,
    n_real_plus: float | None = None,
    n_syn_plus: float | None = None,
    json: bool = False,
) -> int:
    """Say how many synthetic images some real ones are worth, or the other way round.

    Parameters
    ----------
    fit
        A saved fit.
    n_base
        Real images in the base set.
    n_real_plus
        Real images added.
    n_syn_plus
        Synthetic images added.
    json
        Print as JSON.
    """
    from mousterian import answers
    from mousterian.equivalence import Fit

    loaded = Fit.load(fit)
    found = loaded.equivalence(n_base=n_base, n_real_plus=n_real_plus, n_syn_plus=n_syn_plus)
    if json:
        return answers.print_json(found.to_json())
    print(answers.sentence(loaded, found))
    return 0


@verb
def predict(
    fit: Path, *, n_base: float, n_real_plus: float = 0, n_syn_plus: float = 0, json: bool = False
) -> int:
    """Predict the accuracy of a mixture, with its interval.

    Parameters
    ----------
    fit
        A saved fit.
    n_base
        Real images in the base set.
    n_real_plus
        Real images added.
    n_syn_plus
        Synthetic images added.
    json
        Print as JSON.
    """
    from mousterian import answers, wording
    from mousterian.equivalence import Fit

    found = Fit.load(fit).predict(n_base, n_real_plus, n_syn_plus)
    if json:
        return answers.print_json(found.to_json())
    print(wording.percents(found, 2))
    return 0


@verb
def ratio(fit: Path, *, json: bool = False) -> int:
    """Print the improvement ratio: gain from synthetic over gain from as many real images.

    Parameters
    ----------
    fit
        A saved fit.
    json
        Print as JSON.
    """
    from mousterian import answers
    from mousterian.equivalence import Fit

    return answers.show_ratio(Fit.load(fit), json)


@verb
def plan(
    fit: Path,
    *,
    n_base: float,
    target_accuracy: float,
    real_cost: float,
    syn_cost: float,
    max_real: float | None = None,
    max_syn: float | None = None,
    json: bool = False,
) -> int:
    """Find the cheapest mix of real and synthetic images for a target accuracy.

    Parameters
    ----------
    fit
        A saved fit.
    n_base
        Real images there are already.
    target_accuracy
        As a fraction, or in percent if above 1.
    real_cost
        Price of one real image.
    syn_cost
        Price of one synthetic image, in the same unit.
    max_real
        Most real images to be had.
    max_syn
        Most synthetic images to be had.
    json
        Print as JSON, with all mixtures that just reach the target.
    """
    from mousterian import answers, planning
    from mousterian.equivalence import Fit

    made = planning.plan(
        Fit.load(fit),
        n_base=n_base,
        target_accuracy=target_accuracy,
        real_cost=real_cost,
        syn_cost=syn_cost,
        max_real=max_real,
        max_syn=max_syn,
    )
    return answers.show_plan(made, json)


@verb
def suggest(fit: Path, *, trials: int, out: Path = Path("results/suggested.toml"), json: bool = False) -> int:
    """Write a grid file of the trials that would sharpen the equivalence most.

    Parameters
    ----------
    fit
        A saved fit of a store's arm.
    trials
        How many trials.
    out
        The grid file to write.
    json
        Print the cells as JSON and write nothing.
    """
    from mousterian import answers, planning, suggestion
    from mousterian.equivalence import Fit
    from mousterian.store import write_atomically

    loaded = Fit.load(fit)
    cells = planning.suggest(loaded, trials=trials)
    if json:
        return answers.print_json(cells.to_dict("records"))
    text = suggestion.grid_text(loaded, cells)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, text.encode())
    print(text + f"\nwritten to {out}; run it with\n  mousterian grid {out}")
    return 0


@verb
def published(*, json: bool = False) -> int:
    """List the papers' tables that ship as data; `mousterian fit published:NAME` fits one.

    Parameters
    ----------
    json
        Print as JSON, with sources, misprints and notes.
    """
    from mousterian import answers

    return answers.list_published(json)


@verb
def audit(fit: Path, *, against: str, json: bool = False) -> int:
    """Set a published equation beside what was measured.

    Parameters
    ----------
    fit
        A saved fit.
    against
        eq1 or eq2 of the main paper.
    json
        Print as JSON.
    """
    from mousterian import answers
    from mousterian.equivalence import Fit

    return answers.show_audit(Fit.load(fit), against, json)


@verb
def report(*fits: Path, out: Path = REPORTS / "report.html", title: str = "") -> int:
    """Write fits as one HTML page that needs nothing else.

    Parameters
    ----------
    fits
        Saved fits; without any, all of results/fits.
    out
        The page's file.
    title
        The page's title.
    """
    from mousterian import answers
    from mousterian.equivalence import Fit
    from mousterian.reporting import write_report

    loaded = [Fit.load(path) for path in answers.find_fits(fits, FITS)]
    print(f"report: {write_report(loaded, out, title=title)}")
    return 0


@verb
def data(name: str, *, data_dir: Path | None = None, json: bool = False) -> int:
    """Fetch a dataset, verify it, and say where it is.

    Parameters
    ----------
    name
        Name of the dataset; `mousterian list datasets` shows them.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print as JSON.
    """
    from mousterian import listing

    return listing.dataset(name, data_dir, json)


@verb
def list_(kind: str = "", *, json: bool = False) -> int:
    """List the plug-ins of a kind (datasets, models, generators ...) with their options.

    Parameters
    ----------
    kind
        Kind of plug-in, or `recipes`; without it, all kinds.
    json
        Print as JSON.
    """
    from mousterian import listing

    return listing.plugins_of(kind, json)


@verb
def store_ls(*, store: Path = STORE, json: bool = False) -> int:
    """List the cells of a store: trials done and failed, mean accuracy and its spread.

    Parameters
    ----------
    store
        Folder of the store.
    json
        Print as JSON.
    """
    from mousterian import listing

    return listing.cells(store, json)


@verb
def store_compact(*, store: Path = STORE) -> int:
    """Join the files of all trials into one.

    Parameters
    ----------
    store
        Folder of the store.
    """
    from mousterian.store import Store

    print(f"{Store(store).compact()} trial files joined")
    return 0


@verb
def store_verify(*, store: Path = STORE) -> int:
    """Read every file of a store and name those that are not sound.

    Parameters
    ----------
    store
        Folder of the store.
    """
    from mousterian.store import Store

    faults = list(Store(store).verify())
    for path, fault in faults:
        print(f"{path}: {fault}")
    print(f"{len(faults)} faults in {store}")
    return 2 if faults else 0


def _overview() -> str:
    """Return the page that `mousterian --help` shows; made by hand because it must not wait for imports."""
    lines = [
        f"mousterian {__version__}: how many synthetic images is a real one worth?",
        "",
        "usage: mousterian VERB ...      (mousterian VERB --help tells more)",
        "",
    ]
    width = max(map(len, _verbs))
    lines += [
        f"  {name:{width}}  {(function.__doc__ or '').partition(chr(10))[0]}"
        for name, function in _verbs.items()
    ]
    return "\n".join([*lines, "", "  --help, --version"])


def _dispatch(arguments: list[str]) -> int:
    """Hand the arguments to cyclopts, which reads each verb's signature and docstring."""
    import cyclopts

    from mousterian.errors import unknown_name

    names = {name.partition(" ")[0] for name in _verbs}
    if arguments[0] not in names and not arguments[0].startswith("-"):
        raise unknown_name("verb", arguments[0], names, hint="`mousterian --help` lists the verbs")
    app = cyclopts.App(
        name="mousterian", version=__version__, help_format="plaintext", result_action="return_value"
    )
    groups: dict[str, cyclopts.App] = {}
    for name, function in _verbs.items():
        group, _, sub = name.partition(" ")
        if sub:
            if group not in groups:
                groups[group] = cyclopts.App(name=group, help=f"What can be done with a {group}.")
                app.command(groups[group])
            groups[group].command(function, name=sub)
        else:
            app.command(function, name=name)
    try:
        result = app(arguments, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        raise InputError(str(error), hint=f"`mousterian {arguments[0]} --help` tells its options") from None
    return result if isinstance(result, int) else 0


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 all done, 2 bad input, 3 some trials failed, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_overview())
        sys.exit(0)
    if arguments[0] == "--version":
        print(f"mousterian {__version__}")
        sys.exit(0)
    try:
        sys.exit(_dispatch(arguments))
    except InputError as error:
        print(f"mousterian: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAIN_PACKAGES:
            raise
        print(
            f"mousterian: this needs the package {error.name!r}\n"
            "  install mousterian with what training needs: pip install 'mousterian[train]'",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
