"""Runs a loaded machine for a command: console, keyboard, progress, summary, result line, exit status."""

import argparse
import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from soc.commands.checkpoint import Saving, rest_of
from soc.commands.debugging import listening
from soc.commands.loading import loading, say_when_compiling
from soc.commands.options import devices, placement
from soc.commands.output import (
    BAD_INPUT,
    FAILED,
    INTERRUPTED,
    done,
    error_text,
    interrupted,
    refusal,
    result_line,
    say,
)
from soc.commands.profiling import Profiling
from soc.commands.progress import EVERY_MS, Progress
from soc.commands.run_folder import RunFolder
from soc.commands.summary import summary
from soc.commands.terminal import ConsoleWriter, interactive, keyboard
from soc.errors import ConfigurationError, SocError
from soc.options import Options
from soc.result import EXIT_STATUS
from soc.trace.file import NAME as TRACE

NOTHING_RAN = {
    "instructions": 0,
    "virtual_s": 0.0,
    "wall_s": 0.0,
    "mips": 0.0,
    "exits": 0,
    "trace_hash": "",
}


def build(arguments: argparse.Namespace) -> Any:
    """The machine the options describe. Raises ConfigurationError for what cannot be built."""
    from soc.machine import Machine

    what, options = _described(arguments)
    return Machine(what, **options, trace=arguments.out is not None)


def settled(arguments: argparse.Namespace) -> Options:
    """What that machine will be, without building it. Raises ConfigurationError."""
    what, options = _described(arguments)
    return Options.read(what, options)


def _described(arguments: argparse.Namespace) -> tuple[str | Path, dict[str, Any]]:
    platform = getattr(arguments, "platform", None)
    if arguments.machine and platform:
        raise ConfigurationError(
            f"--platform {platform} with --machine {arguments.machine}: the file names the platform.\nLeave one out."
        )
    return Path(arguments.machine) if arguments.machine else platform or "virt", {
        "cpus": arguments.cpus,
        "ram": arguments.ram_mb,
        "tier": None if arguments.tier == "auto" else arguments.tier,
        "strict": arguments.strict or None,
        "ftlb": arguments.ftlb or None,
        "placement": placement(arguments.place) or None,
        "devices": devices(arguments) or None,
        "hypervisor": arguments.hypervisor,
        "vcpus": arguments.vcpus,
        "unimplemented": arguments.unimplemented,
        "kvm": arguments.kvm,
        "irqchip": arguments.irqchip,
    }


def session(
    arguments: argparse.Namespace,
    prepare: Callable[[], Any],
    finish: Callable[[Any], None] = lambda machine: None,
    max_virtual: int | None = None,
    person: bool = False,
) -> int:
    """Runs the machine `prepare` builds and loads; returns the exit status.

    `max_virtual` is in ps from the start of the run; `person` lets someone type where there is a terminal. `finish`
    sees the machine at the end.
    An error before the run is bad input (2), one of the run itself a failure (1); both still print a result line. A
    file that the run was to leave and the host refused is a failure too; the result then stands.
    """
    status = BAD_INPUT
    folder = None
    try:
        saving = Saving(arguments)
        profiling = Profiling.of(arguments)
        say_when_compiling(arguments.tier)
        with profiling.starting(), loading():
            machine = prepare()
        if arguments.restore and arguments.max_virtual is not None:
            max_virtual = rest_of(arguments.max_virtual, machine)
        if arguments.out:
            folder = _folder(arguments.out, machine)
        with machine, listening(arguments.gdb) as debugger:
            status = FAILED
            writer = ConsoleWriter(sys.stdout.buffer, machine.interrupt, folder.console if folder else None)
            try:
                live = person and interactive()
                result, by_hand = _run(
                    machine, arguments, writer, saving, max_virtual, live, profiling.profile, debugger
                )
            except SocError:
                done(machine.trace.close)
                raise
            data = result.as_dict()
            left = [done(lambda: machine.trace.close(result.trace_hash)), done(lambda: finish(machine))]
            waits = machine.waits() if arguments.waits else ""
            left.append(done(lambda: profiling.finish(machine, folder.path if folder is not None else None)))
    except (SocError, OSError) as cause:
        error = refusal(cause) if isinstance(cause, OSError) else cause
        say(error_text(error))
        return _nothing_ran(folder, "error", str(error), status)
    except Exception as fault:  # of a model or a filter of the user's own, who wants to see where
        traceback.print_exception(fault)
        return _nothing_ran(folder, "error", f"{type(fault).__name__}: {fault}", status)
    except KeyboardInterrupt:
        return _nothing_ran(folder, "limit", "interrupted", interrupted())
    if folder is not None:
        left.append(done(lambda: folder.finish(data, machine.typed)))
    if writer.refused:
        say(f"soc: {writer.refused}")
    if data["ended"] == "error":
        say(error_text(SocError(f"the run failed: {data['reason']}")))
    if waits:
        say(waits)
    say(summary(data))
    say(result_line(data))
    if writer.refused or saving.failed or not all(left):
        return FAILED
    return INTERRUPTED if by_hand else EXIT_STATUS[data["ended"]]


def _folder(path: str, machine: Any) -> RunFolder:
    """The run folder, which gets the console and the trace from here on. Raises ConfigurationError, TraceFileError."""
    folder = RunFolder(path)
    folder.console.write(machine.console)
    machine.trace.record_to(folder.path / TRACE, {"platform": machine.platform.name, "cpus": len(machine.cpu)})
    return folder


def _nothing_ran(folder: RunFolder | None, ended: str, reason: str, status: int) -> int:
    data = {**NOTHING_RAN, "ended": ended, "reason": reason}
    if folder is not None:
        done(lambda: folder.finish(data, []))
    say(result_line(data))
    return status


def _run(
    machine: Any,
    arguments: argparse.Namespace,
    writer: ConsoleWriter,
    saving: Saving,
    max_virtual: int | None,
    live: bool,
    profile: Any,
    debugger: Any,
) -> tuple[Any, bool]:
    machine.on_console(writer)
    progress = Progress(writer) if sys.stderr.isatty() else None
    interruptions: list[int] = []

    def interrupt(*_: object) -> None:
        interruptions.append(1)
        machine.interrupt()

    with contextlib.ExitStack() as stack:
        stack.enter_context(_on_interrupt(interrupt))
        if live:
            say("soc: you are at the guest's console; Ctrl-] ends the run.")
            stack.enter_context(keyboard(machine.type, interrupt))
        try:
            result = machine.run(
                max_virtual=max_virtual,
                max_insns=arguments.max_insns,
                until=arguments.until,
                slice=arguments.slice,
                progress=progress,
                progress_ms=EVERY_MS,
                pace=live,
                at=saving.at,
                profile=profile,
                debugger=debugger,
            )
        finally:
            if progress is not None:
                progress.hide()
    if not writer.at_line_start and sys.stdout.isatty():
        say("")
    saving.say_when_missed()
    return result, bool(interruptions)


@contextlib.contextmanager
def _on_interrupt(handler: Callable[..., None]) -> Iterator[None]:
    """Ctrl-C asks the machine to stop at a clean place, so that a summary can follow."""
    try:
        before = signal.signal(signal.SIGINT, handler)
    except ValueError:
        # Only the main thread may do this; elsewhere the caller keeps its own handling.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
