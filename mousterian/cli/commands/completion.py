"""`mousterian completion`."""

from __future__ import annotations

from typing import Literal

from mousterian.cli.commands import EXIT_DONE


def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print the script with which a shell completes commands, options and names of plug-ins.

    bash: `mousterian completion bash > ~/.local/share/bash-completion/completions/mousterian`;
    zsh: into a file named _mousterian in a folder of $fpath; fish: into
    ~/.config/fish/completions/mousterian.fish. It takes effect in a new shell.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from mousterian.cli.app import app_of, commands

    app = app_of(commands(), plugin_names=True)
    print(app.generate_completion(prog_name="mousterian", shell=shell))
    return EXIT_DONE
