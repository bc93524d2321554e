"""TAB completes commands, options and names of plug-ins; each shell parses its script."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from mousterian.__main__ import main
from mousterian.cli.app import app_of, arguments, commands, function_of
from mousterian.plugins import registry

# What bash does when TAB is pressed after these words.
ASK = """
source {script}
COMP_WORDS=({words}) COMP_CWORD=$(( {count} - 1 )) COMP_LINE="{words}" COMP_POINT=${{#COMP_LINE}}
$(complete -p mousterian | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@cache
def script(shell: str) -> str:
    app = app_of(commands(), plugin_names=True)
    return app.generate_completion(prog_name="mousterian", shell=shell)  # type: ignore[arg-type]


def completed(tmp_path: Path, *words: str) -> set[str]:
    """Return what bash offers for the last word."""
    path = tmp_path / "completion.bash"
    path.write_text(script("bash"))
    typed = " ".join(word or "''" for word in ("mousterian", *words))
    ask = ASK.format(script=path, words=typed, count=len(words) + 1)
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, cwd=tmp_path)
    return {line.strip() for line in done.stdout.splitlines() if line.strip()}


def test_every_command_is_completed(tmp_path: Path) -> None:
    assert completed(tmp_path, "") >= set(commands())
    assert completed(tmp_path, "eq") == {"equivalence"}
    assert completed(tmp_path, "store", "") >= {"ls", "compact", "verify"}


def test_options_are_completed(tmp_path: Path) -> None:
    assert {"--n-base", "--n-real-plus", "--json"} <= completed(tmp_path, "equivalence", "--")
    assert completed(tmp_path, "plan", "--target") == {"--target-accuracy"}


def test_names_of_plugins_are_completed(tmp_path: Path) -> None:
    assert completed(tmp_path, "figure", "fit.json", "") >= set(registry.working("figures"))
    assert completed(tmp_path, "fit", "--surface", "log") == {"loglinear", "loglinear_saturating"}
    assert completed(tmp_path, "grid", "g.toml", "--executor", "s") == {"slurm"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_parse_its_script(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["completion", shell])
    assert ended.value.code == 0
    path = tmp_path / shell
    path.write_text(capsys.readouterr().out)
    assert "equivalence" in path.read_text()
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed, so that it cannot parse its script")
    subprocess.run([shell, "-n", path], check=True)


def test_every_command_prints_json_for_programs() -> None:
    without = {
        f"{command} {name}"
        for command, functions in commands().items()
        for name in functions
        if "--json" not in {each.name for each in arguments(function_of(command, name))}
    }
    # A shell script, a page, and a live view.
    assert without <= {"completion completion", "report report", "watch watch"}


def test_every_argument_of_every_command_is_explained() -> None:
    for command, functions in commands().items():
        for name, text in functions.items():
            function = function_of(command, name)
            assert text.partition("\n")[0].endswith("."), command
            assert [each.name for each in arguments(function) if not each.meaning] == [], command
