"""The command line of `soc`: its subcommands, and what becomes of their errors."""

import argparse
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from soc.commands import COMMANDS
from soc.commands.loading import loading
from soc.commands.output import BAD_INPUT, FAILED, UNREAD, error_text, refusal, say
from soc.errors import SocError


class _Parser(argparse.ArgumentParser):
    """argparse, with errors in the form every other error of the command has, and a place for late positionals."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:
        """A positional that may be left out may also follow options: argparse takes it for left out too early."""
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            late = not action.option_strings and action.nargs == "?" and getattr(found, action.dest) is None
            if late and rest and not rest[0].startswith("-"):
                setattr(found, action.dest, rest.pop(0))
        return found, rest

    def error(self, message: str) -> None:
        self.exit(BAD_INPUT, f"soc: {message}.\n     `{self.prog} --help` lists what it takes.\n")


class _Version(argparse.Action):
    """argparse's own would have the version looked up by every command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"loongson-soc {version('loongson-soc')}")
        except PackageNotFoundError:
            print("loongson-soc, not installed")
        parser.exit()


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The command line, one subcommand per file of soc.commands: all of them, or just `only`, which loads faster."""
    top = _Parser(prog="soc", description="Simulator of a Loongson-3A4000 machine.")
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in [only] if only in COMMANDS else COMMANDS:
        import_module(f"soc.commands.{name}").add(commands)
    if only in COMMANDS:
        top.prog = f"soc {only}"  # whose help an error names
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the process's) and returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    try:
        with loading():
            arguments = parser(words[0] if words else None).parse_args(words)
        status = arguments.command(arguments)
        sys.stdout.flush()
        return status
    except SocError as error:
        say(error_text(error))
        return BAD_INPUT
    except BrokenPipeError:
        return UNREAD
    except OSError as error:
        say(error_text(refusal(error)))
        return FAILED
    finally:
        gc.unfreeze()
