"""`mousterian completion`."""

from __future__ import annotations

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print what lets a shell complete verbs, options and names of plug-ins when TAB is pressed.

    bash: `mousterian completion bash > ~/.local/share/bash-completion/completions/mousterian`;
    zsh: into a file named _mousterian in a folder of $fpath; fish: into
    ~/.config/fish/completions/mousterian.fish. A new shell has it.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from mousterian.cli.app import app_of, commands

    app = app_of(commands(), named=True)
    print(app.generate_completion(prog_name="mousterian", shell=shell))
    return 0
