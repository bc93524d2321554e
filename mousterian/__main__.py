"""The command line: finds the verb's file, hands it the arguments, turns errors into messages."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NoReturn

from mousterian import __version__
from mousterian.cli.app import app_of, commands
from mousterian.errors import InputError, unknown_name

# What the extra `train` installs; the base install does without.
TRAIN_PACKAGES = {"torch", "torchvision", "diffusers", "timm", "sklearn", "safetensors", "PIL"}


def _overview(verbs: Mapping[str, Mapping[str, str]]) -> str:
    """Return the page that `mousterian --help` shows."""
    rows = [
        (verb if verb in functions else f"{verb} {name}", text.partition("\n")[0])
        for verb, functions in verbs.items()
        for name, text in functions.items()
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [
            f"mousterian {__version__}: how many synthetic images is a real one worth?",
            "",
            "usage: mousterian VERB ...      (mousterian VERB --help tells more)",
            "",
            *(f"  {name:{width}}  {text}" for name, text in rows),
            "",
            "  --help, --version; -o is short for --out",
        ]
    )


def _dispatch(arguments: list[str]) -> int:
    """Hand the arguments to cyclopts, which reads the verb's signature and docstring."""
    verbs = commands()
    verb = arguments[0]
    if verb not in verbs:
        raise unknown_name("verb", verb, verbs, hint="`mousterian --help` lists the verbs")
    import cyclopts

    app = app_of({verb: verbs[verb]})
    given = ["--out" if each == "-o" else each for each in arguments]
    try:
        result = app(given, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        raise InputError(str(error), hint=f"`mousterian {verb} --help` tells its options") from None
    return result if isinstance(result, int) else 0


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 all done, 2 bad input, 3 some trials failed, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_overview(commands()))
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
