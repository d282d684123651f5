"""`soc scenario`: lists and runs the experiments in the package `scenarios`, one module each."""

import argparse
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from soc.commands.loading import say_when_compiling
from soc.commands.options import placement, value_like
from soc.commands.output import FAILED, OK, say
from soc.errors import ConfigurationError, choose
from soc.options import placed

HELP = {"-h", "--help"}
USAGE = "soc scenario run NAME [--PARAMETER VALUE ...] [--out DIR] [--place MAP]"
# Nothing in the simulator imports this package; the command finds it by name.
PACKAGE = "scenarios"


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("scenario", help="list or run an experiment")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the scenarios there are, with their parameters")
    listing.set_defaults(command=list_scenarios)
    running = actions.add_parser("run", help="run one", usage=USAGE)
    running.add_argument("name", metavar="NAME", help="one of `soc scenario list`")
    running.add_argument(
        "parameters",
        nargs=argparse.REMAINDER,
        metavar="--PARAMETER VALUE",
        help="as `soc scenario run NAME --help` shows them",
    )
    running.set_defaults(command=run_scenario)


def list_scenarios(arguments: argparse.Namespace) -> int:
    """Prints each scenario's name, what it asks, and its parameters with their defaults."""
    registry = _registry()
    names = registry.list_scenarios()
    width = max(map(len, names)) + 2
    for name in names:
        print(description(name, registry.load(name), width))
    return OK


def description(name: str, found: Any, width: int) -> str:
    """A scenario's name in a column of `width`, what it asks, and its parameters with their defaults, a line each."""
    about = (import_module(f"{PACKAGE}.{name}").__doc__ or found.__doc__ or "").strip().splitlines()
    lines = [f"{name:{width}}{about[0] if about else ''}"]
    lines += [
        f"{'':{width}}--{parameter.replace('_', '-')} {value}" for parameter, value in found.scenario_defaults.items()
    ]
    return "\n".join(lines)


def run_scenario(arguments: argparse.Namespace) -> int:
    """Runs the scenario, or shows its parameters; status 1 when one of its expectations failed."""
    found = _registry().load(arguments.name)
    if HELP & set(arguments.parameters):
        print(f"usage: {USAGE}\n\n{description(arguments.name, found, len(arguments.name) + 2)}")
        return OK
    given = parameters(arguments.parameters, {**found.scenario_defaults, "out": "", "place": ""})
    say_when_compiling(given.get("tier", "auto"))
    with placed(placement(given.pop("place", None))) as passed_over:
        run = found(**given)
    if passed_over:
        raise ConfigurationError(
            f"--place: no machine of {arguments.name} has a device {', '.join(sorted(passed_over))}."
        )
    for failure in run.failures:
        say(f"soc: {arguments.name}: {failure}.")
    return OK if run.ok else FAILED


def _registry() -> ModuleType:
    try:
        return import_module(f"{PACKAGE}.registry")
    except ModuleNotFoundError as cause:
        if cause.name is None or not cause.name.startswith(PACKAGE):
            raise
        raise ConfigurationError(
            f"the package {PACKAGE} is not installed.\nRun from the project's folder, or `pip install -e .` there."
        ) from cause


def parameters(words: list[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords in ['--rounds', '1000', '--quick'], each of the type of its default. Raises ConfigurationError."""
    values: dict[str, Any] = {}
    rest = list(words)
    while rest:
        option, equals, text = rest.pop(0).partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or name not in defaults:
            allowed = [f"--{known.replace('_', '-')}" for known in defaults]
            raise ConfigurationError(f"{choose('parameter', option, allowed)}.\n`soc scenario list` describes them.")
        default = defaults[name]
        if not equals and isinstance(default, bool) and (not rest or rest[0].startswith("--")):
            values[name] = True
            continue
        if not equals:
            if not rest:
                raise ConfigurationError(f"{option} lacks its value.\nWrite {option} {default}.")
            text = rest.pop(0)
        values[name] = value_like(default, text, option)
    return values
