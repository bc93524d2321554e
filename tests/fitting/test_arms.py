"""`mousterian fit` of tables and of stores with several arms, and the grid suggested for an arm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from simulated import table

from mousterian.api import Fit
from mousterian.store.rows import Store
from mousterian.trials import grid

# As a store keeps them: options, and the filters among them.
GENERATED = '{"channels":16,"steps":0,"filter":[{"name":"duplicates","distance":3}]}'

COUNTS = ["n_base", "n_real_plus", "n_syn_plus"]


def stored(folder: Path, kappas: dict[str, float], smaller: int = 1) -> Path:
    """A store with one arm per value of the generator's `trained_on`."""
    options = {
        "dataset": "{}",
        "model": '{"width":16}',
        "strategy": "{}",
        "evaluation": '{"batch_size":1000}',
    }
    own = {
        "dataset": "digits",
        "model": "small_cnn",
        "strategy": "joint",
        "evaluation": "accuracy",
        "recipe": "small",
    }
    recipe = '{"name":"small","iterations":300,"epochs":null,"milestones":[0.5,0.75]}'
    number = 0
    for trained_on, kappa in kappas.items():
        rows = table(kappa)
        rows[COUNTS] = rows[COUNTS] // smaller
        for row in rows.to_dict("records"):
            if not row["n_syn_plus"] and trained_on != next(iter(kappas)):
                continue
            source = {
                "generator": "edm",
                "trained_on": trained_on,
                "n_upstream": 500 * (trained_on == "upstream"),
            }
            source = source if row["n_syn_plus"] else {"generator": "", "trained_on": "", "n_upstream": 0}
            named = {f"{name}_options": value for name, value in options.items()}
            generated = GENERATED if row["n_syn_plus"] else ""
            identity = {**own, **named, **source, "recipe_options": recipe, "generator_options": generated}
            key = f"{number:016x}"
            number += 1
            Store(folder).write(
                [{**identity, **row, "trial": key, "imbalance": 1.0, "status": "done", "subset_seed": 0}]
            )
    return folder


def test_arms_of_a_store_are_fitted_apart_and_share_their_real_rows(run, tmp_path: Path) -> None:
    stored(tmp_path / "store", {"base": 0.05, "upstream": 0.5})
    code, _, _ = run("fit", "--store", "store", "--out", "fits", "--bootstrap", 200)
    assert code == 0
    internal, external = (Fit.load(path) for path in sorted((tmp_path / "fits").glob("*.json")))
    assert (internal.name, external.name) == ("digits-edm-base", "digits-edm-upstream")
    assert (internal.data["n_syn_plus"] == 0).sum() == (external.data["n_syn_plus"] == 0).sum() == 27
    worth = [
        made.equivalence(n_base=800, n_real_plus=200).n_syn_plus.estimate for made in (internal, external)
    ]
    assert worth[0] > 4 * worth[1]
    code, _, err = run("fit", "--store", "store", "--out", "one.json")
    assert (code, "one file holds one fit" in err) == (2, True)


def test_an_arm_with_too_few_rows_does_not_keep_the_others_from_being_fitted(run, tmp_path: Path) -> None:
    stored(tmp_path / "store", {"base": 0.05})
    row = {**Store(tmp_path / "store").read().iloc[0].to_dict(), "trial": "f" * 16, "strategy": "balanced"}
    Store(tmp_path / "store").write([{name: value for name, value in row.items() if value == value}])
    code, _, err = run("fit", "--store", "store", "--out", "fits", "--bootstrap", 50)
    assert code == 0
    assert len(list((tmp_path / "fits").glob("*.json"))) == 1
    assert "balanced is not fitted: too few rows: 1" in err.replace("\n", " ")
    code, _, err = run("fit", "--store", "store", "--where", "strategy=balanced", "--out", "fits")
    assert (code, "too few rows: 1" in err) == (2, True)


def test_a_suggested_grid_is_one_that_the_grid_verb_reads(run, tmp_path: Path) -> None:
    stored(tmp_path / "store", {"upstream": 0.5})
    run("fit", "--store", "store", "--out", "fits", "--bootstrap", 200)
    fit = next((tmp_path / "fits").glob("*.json"))
    code, out, _ = run("suggest", fit, "--trials", 5, "--out", "more.toml")
    assert (code, "mousterian grid more.toml" in out) == (0, True)
    trials, _ = grid.read(tmp_path / "more.toml")
    assert len(trials) == 5
    assert min(trial.training_seed for trial in trials) == 3
    made = trials[0]
    assert (made.model.options, made.recipe["iterations"]) == ({"width": 16}, 300)
    generators = {trial.generator.trained_on for trial in trials if trial.generator}
    assert generators <= {"upstream"}
    filters = [each for trial in trials if trial.generator for each in trial.generator.filters]
    assert {(each.name, each.options["distance"]) for each in filters} == {("duplicates", 3)}


def test_a_grid_of_new_subsets_is_one_that_runs(run, tmp_path: Path) -> None:
    stored(tmp_path / "store", {"base": 0.5}, smaller=20)
    run("fit", "--store", "store", "--out", "fits", "--bootstrap", 200)
    fit = next((tmp_path / "fits").glob("*.json"))
    code, out, _ = run("suggest", fit, "--trials", 30, "--out", "more.toml")
    assert (code, "needs 2 more subset seeds, which these" in " ".join(out.split())) == (0, True)
    trials, _ = grid.read(tmp_path / "more.toml")
    assert {trial.subset_seed for trial in trials} == {1, 2}
    assert len({trial.training_seed for trial in trials}) == 1
    listed = json.loads(run("suggest", fit, "--trials", 30, "--json")[1])
    assert sum(each["trials"] for each in listed) == len(trials) <= 30
    assert {tuple(each["subset_seeds"]) for each in listed} == {(1, 2)}
    code, out, err = run("grid", "more.toml", "--store", "store", "--dry-run", "--json")
    assert (code, err) == (0, "") and json.loads(out)["trials"]["new"] == len(trials)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--where", "n_bas=3"), "did you mean 'n_base'"),
        (("--where", "n_base=3"), "n_base is one of"),
        (("--where", "n_base=many"), "holds numbers"),
        (("--where", "n_base"), "takes COLUMN=VALUE"),
        (("--surface", "loglinaer"), "did you mean 'loglinear'"),
    ],
)
def test_invalid_arguments_get_a_hint(run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    table(0.25).to_csv(tmp_path / "mine.csv", index=False)
    code, _, err = run("fit", "mine.csv", *arguments)
    assert (code, message in err) == (2, True)


def test_errors_count_rows_as_the_file_does_and_name_it(run, tmp_path: Path) -> None:
    frame = table(0.25).sort_values("n_syn_plus", ascending=False, ignore_index=True).astype({"top1": object})
    frame.loc[40, "top1"] = "lost"
    frame.to_csv(tmp_path / "mine.csv", index=False)
    code, _, err = run("fit", "mine.csv")
    assert (code, "mine.csv: top1 is not a number in row 41: 'lost'" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_base,n_real_plus,n_syn_plus,accuracy\n", "no rows"),
        ("n_base,n_real_plus,accuracy\n100,0,0.5\n", "no column n_syn_plus"),
        (
            "n_base,n_real_plus,n_syn_plus,accuracy\n100,0,0,0.5,0.9\n",
            "row 1 has 5 fields and the header has 4",
        ),
    ],
)
def test_unreadable_tables_are_named(run, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.csv").write_text(text)
    code, _, err = run("fit", "mine.csv")
    assert (code, err.startswith("mousterian: mine.csv: "), message in err) == (2, True, True)


def test_tables_of_one_name_in_two_folders_keep_their_fits_apart(run, tmp_path: Path) -> None:
    for folder, kappa in (("a", 0.1), ("b", 0.5)):
        (tmp_path / folder).mkdir()
        table(kappa).to_csv(tmp_path / folder / "mine.csv", index=False)
    options = ("--surface", "effective_data", "--bootstrap", 20, "--out", "fits")
    assert run("fit", "a/mine.csv", "b/mine.csv", *options)[0] == 0
    assert {path.name for path in (tmp_path / "fits").iterdir()} == {"mine.json", "mine-#2.json"}
