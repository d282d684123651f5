"""`soc bench`: the engine's speed on this host, on programs, on boots and with many cores, beside QEMU's."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.commands.options import count
from soc.commands.output import FAILED, OK, error_text, interrupted, say
from soc.errors import ConfigurationError, SocError, choose

if TYPE_CHECKING:
    from soc.bench.results import Results
    from soc.bench.setting import Setting

ROUNDS, QUICK_ROUNDS = 5, 1


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("bench", help="measure speed on programs and on boots, next to QEMU")
    parser.add_argument(
        "--only", metavar="SECTION,...", help="these sections alone; `--only help` shows which there are"
    )
    parser.add_argument("--quick", action="store_true", help="a small slice: one round of short runs, few machines")
    parser.add_argument("--rounds", type=count, metavar="N", help=f"rounds (default {ROUNDS}; quick {QUICK_ROUNDS})")
    parser.add_argument("--qemu", metavar="PROGRAM", help="the qemu-system-mips64el to compare with")
    parser.add_argument("--qemu-cpu", metavar="CPU", help="its processor model")
    parser.add_argument("--qemu-user", metavar="PROGRAM", help="the qemu-mips64el to compare vector instructions with")
    parser.add_argument("--out", metavar="FILE.json", help="keep every figure of every round, section by section")
    parser.set_defaults(command=bench)
    parts = parser.add_subparsers(metavar="ACTION")
    files = parts.add_parser("compare", help="put two result files side by side")
    files.add_argument("before", metavar="BEFORE.json")
    files.add_argument("after", metavar="AFTER.json")
    files.set_defaults(command=compare)
    apart = parts.add_parser("separation", help="that section alone: what devices in other processes cost")
    apart.add_argument("--rounds", type=count, metavar="N", help=f"rounds (default {ROUNDS})")
    apart.add_argument("--out", metavar="FILE.json", help="keep every figure of every round")
    apart.set_defaults(command=bench, only="separation")


def compare(arguments: argparse.Namespace) -> int:
    """Prints what became better between two files of `soc bench --out`."""
    from soc.bench import compare, report, results

    before, after = (results.read(Path(name)) for name in (arguments.before, arguments.after))
    print(report.table(compare.rows(before, after)))
    return OK


def bench(arguments: argparse.Namespace) -> int:
    """Measures and prints, section by section; status 1 when runs that must agree do not, or one of them fails.

    Then the other sections are measured all the same. What was measured before Ctrl-C is printed and kept.
    """
    from soc.bench import report
    from soc.bench.errors import BenchError, NeedError
    from soc.bench.results import check_place
    from soc.bench.sections import SECTIONS

    if arguments.only == "help":
        print(report.table([(name, section.title) for name, section in SECTIONS.items()], right=False))
        return OK
    chosen = _chosen(arguments.only, list(SECTIONS))
    if arguments.out:
        check_place(Path(arguments.out))
    setting = _setting(arguments)
    found, status = _no_results(setting), OK
    print(f"{found.host['processor']}, {found.host['processors']} processors, load {found.host['load']:.2f}")
    for number, name in enumerate(chosen, 1):
        section = SECTIONS[name]
        try:
            with _progress(f"[{number}/{len(chosen)}] {name}") as show:
                rows = section.measure(replace(setting, say=show))
        except NeedError as error:
            if arguments.only:
                raise
            say(error_text(NeedError(f"{name} is left out: {error}")))
            continue
        except BenchError as error:
            say(error_text(error))
            status = FAILED
            continue
        except KeyboardInterrupt:
            return interrupted()
        found.sections[name] = rows
        print(f"\n{section.title}; {setting.rounds} round{'s' if setting.rounds > 1 else ''}")
        print(report.table(list(section.table(rows))), flush=True)
        if arguments.out:
            found.write(Path(arguments.out))
    return status


def _chosen(only: str | None, known: list[str]) -> list[str]:
    """The sections to measure, in their own order. Raises ConfigurationError."""
    wanted = known if only is None else [name.strip() for name in only.split(",")]
    for name in wanted:
        if name not in known:
            raise ConfigurationError(choose("section", name, known))
    return [name for name in known if name in wanted]


def _setting(arguments: argparse.Namespace) -> Setting:
    """What the options give to measure with. Raises ConfigurationError."""
    from cpu.engine import tiers
    from soc.bench.setting import Setting

    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    return Setting(rounds, tiers.choose("auto").name, arguments.quick, *_qemus(arguments), _material())


def _no_results(setting: Setting) -> Results:
    """What the figures will depend on, and none of them yet."""
    from soc.bench import report
    from soc.bench.results import Results

    kernel = setting.material.manifest["kernel"] if setting.material else None
    return Results(
        report.host(),
        setting.rounds,
        setting.qemu.name if setting.qemu else None,
        f"{kernel['package']} {kernel['version']}" if kernel else None,
        setting.quick,
    )


def _qemus(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """QEMU's machine and its user mode; None for what is not here. Raises ConfigurationError for what was asked for."""
    from soc.bench import qemu

    machine = qemu.find(arguments.qemu or qemu.PROGRAM, arguments.qemu_cpu or qemu.CPU)
    user = qemu.find_user(arguments.qemu_user or qemu.USER_PROGRAM)
    if machine is None and arguments.qemu:
        raise ConfigurationError(
            f"--qemu {arguments.qemu} is no QEMU with a machine {qemu.MACHINE}.\nGive a qemu-system-mips64el."
        )
    if user is None and arguments.qemu_user:
        raise ConfigurationError(f"--qemu-user {arguments.qemu_user} is no QEMU.\nGive a qemu-mips64el.")
    for name, found in ((qemu.PROGRAM, machine), (qemu.USER_PROGRAM, user)):
        if found is None:
            say(f"soc: {name} is not here, so there is nothing to compare with.")
    return machine, user


def _material() -> Any:
    from soc.fetch import debian

    try:
        return debian.cached()
    except SocError as error:
        say(error_text(error))
        return None


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[str], None]]:
    """What takes a line about the state of a section: shown in place on a terminal, line by line elsewhere."""
    if not sys.stderr.isatty():
        yield lambda text: say(f"{name}: {text}")
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    # Seldom: it shares the host with what is measured.
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=2) as shown:
        task = shown.add_task(name, total=None)
        yield lambda text: shown.update(task, description=f"{name}: {text}")
