"""`soc bench`: how fast the engine runs on this host, measured on an embedded guest."""

import argparse
from importlib import import_module

from soc.commands.output import OK
from soc.errors import ConfigurationError

GUEST = "scenarios.guests.bench"


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("bench", help="measure the engine's speed on an embedded guest")
    parser.set_defaults(command=bench)


def bench(arguments: argparse.Namespace) -> int:
    """Runs the guest's `main()`, which prints its figures."""
    try:
        guest = import_module(GUEST)
    except ModuleNotFoundError as cause:
        raise ConfigurationError(f"the benchmark guest {GUEST} is missing.\nInstall the whole project.") from cause
    return guest.main() or OK
