"""The command `soc`, also `python -m soc`."""

import argparse
import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from soc.commands import COMMANDS
from soc.commands.loading import loading
from soc.commands.output import BAD_INPUT, INTERRUPTED, error_text, say
from soc.errors import SocError


class _Parser(argparse.ArgumentParser):
    """argparse, with errors in the form every other error of the command has."""

    def error(self, message: str) -> None:
        self.exit(BAD_INPUT, f"soc: {message}.\n     `{self.prog} --help` lists what it takes.\n")


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The command line, one subcommand per file of soc.commands: all of them, or just `only`, which loads faster."""
    top = _Parser(prog="soc", description="Simulator of a Loongson-3A4000 machine.")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in [only] if only in COMMANDS else COMMANDS:
        import_module(f"soc.commands.{name}").add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the process's) and returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    with loading():
        arguments = parser(words[0] if words else None).parse_args(words)
    try:
        return arguments.command(arguments)
    except SocError as error:
        say(error_text(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        say("soc: interrupted.")
        return INTERRUPTED
    finally:
        gc.unfreeze()


def command() -> NoReturn:
    """The process `soc`. It ends without the interpreter's taking itself apart, which takes longer than a short run:
    the host frees the memory of a process at once."""
    status = main()
    atexit._run_exitfuncs()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    command()
