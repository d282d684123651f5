"""`soc bench`: the engine's speed on this host, on a program, on the boot and with many cores, beside QEMU's."""

import argparse
import json
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from soc.commands.options import count
from soc.commands.output import FAILED, OK, error_text, say
from soc.errors import ConfigurationError, SocError

# Nothing in the simulator imports that package; the command finds it by name.
GUESTS = "scenarios.guests.build"
ROUNDS, ITERATIONS, REFERENCE_ITERATIONS = 5, 12_000, 3


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("bench", help="measure speed on a program and on the boot, next to QEMU")
    parser.add_argument("--rounds", type=count, default=ROUNDS, metavar="N", help=f"rounds (default {ROUNDS})")
    parser.add_argument(
        "--iterations", type=count, default=ITERATIONS, metavar="N", help=f"of the program (default {ITERATIONS})"
    )
    parser.add_argument("--qemu", metavar="PROGRAM", help="the qemu-system-mips64el to compare with")
    parser.add_argument("--qemu-cpu", default="Loongson-3A1000", metavar="CPU", help="its processor model")
    parser.add_argument("--no-program", action="store_true", help="leave out the program")
    parser.add_argument("--no-compute", action="store_true", help="leave out the compute set")
    parser.add_argument("--no-boot", action="store_true", help="leave out the boot")
    parser.add_argument("--no-cores", action="store_true", help="leave out the busy cores")
    parser.add_argument(
        "--windows", action="store_true", help="also the speed over the window in which cores take turns"
    )
    parser.add_argument("--no-cold", action="store_true", help="leave out the first runs with an empty code cache")
    parser.add_argument("--out", metavar="FILE.json", help="keep every figure of every round")
    parser.set_defaults(command=bench)
    parts = parser.add_subparsers(metavar="ACTION")
    files = parts.add_parser("compare", help="put two result files side by side")
    files.add_argument("before", metavar="BEFORE.json")
    files.add_argument("after", metavar="AFTER.json")
    files.set_defaults(command=compare)
    apart = parts.add_parser("separation", help="measure instead what devices in other processes cost")
    apart.add_argument("--rounds", type=count, default=ROUNDS, metavar="N", help=f"rounds (default {ROUNDS})")
    apart.add_argument("--out", metavar="FILE.json", help="keep every figure of every round")
    apart.set_defaults(command=separation)


def compare(arguments: argparse.Namespace) -> int:
    """Prints what became faster between two files of `soc bench --out`."""
    from soc.bench import compare, report

    print(report.table(compare.rows(compare.read(Path(arguments.before)), compare.read(Path(arguments.after)))))
    return OK


def separation(arguments: argparse.Namespace) -> int:
    """Prints what an access, a busy core and a boot cost with the devices in other processes; status as of `bench`."""
    from soc.bench import report, separation
    from soc.bench.errors import BenchError

    data = {"host": report.host(), "rounds": arguments.rounds}
    try:
        found = separation.separation(arguments.rounds, _material(), say)
    except BenchError as error:
        say(error_text(error))
        return FAILED
    data["separation"] = [result.as_dict() for result in found]
    print(_about(data["host"]))
    print(f"\ndevices in the simulator's process and in processes of their own, medians of {arguments.rounds} rounds")
    print(report.separation_table(found), flush=True)
    if arguments.out:
        _keep(Path(arguments.out), data)
    return OK


def _about(host: dict) -> str:
    return f"{host['processor']}, {host['processors']} processors, load {host['load']:.2f}"


def bench(arguments: argparse.Namespace) -> int:
    """Measures and prints; status 1 when runs that must agree do not, or one of them fails."""
    from soc.bench import compute, cores, measure, qemu, report
    from soc.bench.errors import BenchError

    other = qemu.find(arguments.qemu or qemu.PROGRAM, arguments.qemu_cpu)
    if other is None:
        if arguments.qemu:
            raise ConfigurationError(
                f"--qemu {arguments.qemu} is no QEMU with a machine {qemu.MACHINE}.\nGive a qemu-system-mips64el."
            )
        say(f"soc: {qemu.PROGRAM} is not here, so there is nothing to compare with.")
    fastest = import_module("cpu.engine.tiers").choose("auto").name
    make = None if arguments.no_program else _guest()
    makes = {} if arguments.no_compute else _compute_set()
    material = None if arguments.no_boot else _material()
    data: dict = {"host": report.host(), "qemu": other.name if other else None, "rounds": arguments.rounds}
    print(_about(data["host"]))
    try:
        if make:
            tiers = {fastest: arguments.iterations, "threaded": arguments.iterations}
            tiers["reference"] = REFERENCE_ITERATIONS
            found = measure.program(make, tiers, other, arguments.rounds, say)
            data["program"] = [result.as_dict() for result in found]
            print(f"\nprogram, medians of {arguments.rounds} rounds; MIPS without and with start-up")
            print(report.program_table(found, other.name if other else None), flush=True)
        if makes:
            found = compute.compute(makes, fastest, other, arguments.rounds, say)
            data["compute"] = [part.as_dict() for part in found]
            print(f"\ncompute set, medians of {arguments.rounds} rounds; start-up left out on both sides")
            print(report.compute_table(found), flush=True)
        if material:
            boots = measure.boot(material, other, arguments.rounds, say)
            data["kernel"] = {name: material.manifest["kernel"][name] for name in ("package", "version")}
            data["boot"] = [result.as_dict() for result in boots]
            print(f"\nboot to a shell, a script, power-off; {arguments.rounds} rounds; stub left out on both sides")
            print(report.boot_table(boots), flush=True)
        if not arguments.no_cores:
            busy = cores.by_count(arguments.rounds, say=say)
            data["cores"] = [result.as_dict() for result in busy]
            print(f"\nthe same busy program on every core, medians of {arguments.rounds} rounds")
            print(report.cores_table(busy), flush=True)
        if arguments.windows:
            busy = cores.by_window(arguments.rounds, say=say)
            data["windows"] = [result.as_dict() for result in busy]
            print(f"\n{cores.WINDOW_CORES} busy cores over the window, medians of {arguments.rounds} rounds")
            print(report.windows_table(busy), flush=True)
        if not arguments.no_cold:
            data["cold"] = measure.cold(make, material, say)
            print("", *report.cold_lines(data["cold"]), sep="\n", flush=True)
    except BenchError as error:
        say(error_text(error))
        return FAILED
    if arguments.out:
        _keep(Path(arguments.out), data)
    return OK


def _guest() -> Callable[[int], bytes]:
    """The function that gives the program's ELF for a number of iterations; it has been built once."""
    try:
        make = import_module(GUESTS).bench
    except ModuleNotFoundError as cause:
        raise ConfigurationError(
            f"the guest builder {GUESTS} is not installed.\nRun from the project's folder, or `pip install -e .` there."
        ) from cause
    try:
        make(1)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}\n`soc bench --no-program --no-compute` measures the boot alone.") from error
    return make


def _compute_set() -> dict[str, Callable[[int], bytes]]:
    """The functions that give the ELF of each program of the compute set."""
    mixed, guests = _guest(), import_module(GUESTS)
    return {"mixed": mixed, **{part: partial(guests.compute, part) for part in guests.COMPUTE_PARTS}}


def _material():
    from soc.fetch import debian

    try:
        material = debian.cached()
    except SocError as error:
        say(error_text(error))
        return None
    if material is None:
        say("soc: no kernel to boot was fetched, so the boot is left out; `soc fetch debian` gets one.")
    return material


def _keep(path: Path, data: dict) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    except OSError as cause:
        raise ConfigurationError(f"cannot write --out {path}: {cause.strerror}.\nGive another file.") from cause
