"""The command line: finds the command, passes it the arguments, turns errors into messages."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NoReturn

from mousterian import __version__
from mousterian.cli.app import app_of, commands
from mousterian.cli.commands import EXIT_BAD_INPUT, EXIT_DONE, EXIT_INTERRUPTED
from mousterian.errors import InputError, unknown_name

# Installed by the extra `train`, not by the base install.
TRAIN_PACKAGES = {"torch", "torchvision", "diffusers", "timm", "sklearn", "safetensors", "PIL"}


def _overview(known: Mapping[str, Mapping[str, str]]) -> str:
    """Return the page that `mousterian --help` shows."""
    rows = [
        (command if command in functions else f"{command} {name}", text.partition("\n")[0])
        for command, functions in known.items()
        for name, text in functions.items()
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [
            f"mousterian {__version__}: how many synthetic images is a real one worth?",
            "",
            "usage: mousterian COMMAND ...      (mousterian COMMAND --help lists its options)",
            "",
            *(f"  {name:{width}}  {text}" for name, text in rows),
            "",
            "  --help, --version; -o is short for --out",
        ]
    )


def _dispatch(arguments: list[str]) -> int:
    """Pass the arguments to cyclopts, which reads the command's signature and docstring."""
    known = commands()
    command = arguments[0]
    if command not in known:
        raise unknown_name("command", command, known, hint="`mousterian --help` lists the commands")
    import cyclopts

    app = app_of({command: known[command]})
    given = ["--out" if each == "-o" else each for each in arguments]
    try:
        result = app(given, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        raise InputError(str(error), hint=f"`mousterian {command} --help` lists its options") from None
    return result if isinstance(result, int) else EXIT_DONE


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with one of the codes of `cli.commands`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_overview(commands()))
        sys.exit(EXIT_DONE)
    if arguments[0] == "--version":
        print(f"mousterian {__version__}")
        sys.exit(EXIT_DONE)
    try:
        sys.exit(_dispatch(arguments))
    except InputError as error:
        print(f"mousterian: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAIN_PACKAGES:
            raise
        print(
            f"mousterian: this command needs the package {error.name!r}\n"
            "  install the training dependencies: pip install 'mousterian[train]'",
            file=sys.stderr,
        )
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_DONE)


if __name__ == "__main__":
    main()
