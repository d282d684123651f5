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
from soc.result import EXIT_STATUS, Result
from soc.trace.file import NAME as TRACE


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
    run = _Run(arguments)
    try:
        run.prepare(prepare, max_virtual)
        run.go(finish, person and interactive())
    except (SocError, OSError) as cause:
        error = refusal(cause) if isinstance(cause, OSError) else cause
        say(error_text(error))
        return run.came_to_nothing("error", str(error), run.status)
    except Exception as fault:  # of a model or a filter of the user's own, who wants to see where
        traceback.print_exception(fault)
        return run.came_to_nothing("error", f"{type(fault).__name__}: {fault}", run.status)
    except KeyboardInterrupt:
        return run.came_to_nothing("limit", "interrupted", interrupted())
    return run.told()


class _Run:
    """The run of one command, from its options to its exit status."""

    _saving: Saving
    _profiling: Profiling
    _machine: Any
    _max_virtual: int | None
    _writer: ConsoleWriter
    _result: Any

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.status = BAD_INPUT
        """The exit status of an error now."""
        self._folder: RunFolder | None = None
        self._left: list[bool] = []
        """Of each thing that the run was to leave, whether it has; why not has been said."""
        self._interrupted = False
        self._waits = ""

    def prepare(self, prepare: Callable[[], Any], max_virtual: int | None) -> None:
        """The machine, its limit, and the folder for what it leaves."""
        arguments = self._arguments
        self._saving, self._profiling = Saving(arguments), Profiling.of(arguments)
        say_when_compiling(arguments.tier)
        with self._profiling.starting(), loading():
            self._machine = prepare()
        of_life = arguments.restore and arguments.max_virtual is not None
        self._max_virtual = rest_of(arguments.max_virtual, self._machine) if of_life else max_virtual
        if arguments.out:
            self._folder = _folder(arguments.out, self._machine)

    def go(self, finish: Callable[[Any], None], live: bool) -> None:
        """Runs the machine, and leaves what can only be had of it while it is there."""
        arguments, machine, folder = self._arguments, self._machine, self._folder
        with machine, listening(arguments.gdb) as debugger:
            self.status = FAILED
            self._writer = ConsoleWriter(sys.stdout.buffer, machine.interrupt, folder.console if folder else None)
            try:
                self._result = self._carried_out(live, debugger)
            except SocError:
                done(machine.trace.close)
                raise
            self._left += [
                done(lambda: machine.trace.close(self._result.trace_hash)),
                done(lambda: finish(machine)),
                done(lambda: self._profiling.finish(machine, folder.path if folder else None)),
            ]
            self._waits = machine.waits() if arguments.waits else ""

    def _carried_out(self, live: bool, debugger: Any) -> Any:
        arguments, machine, writer = self._arguments, self._machine, self._writer
        machine.on_console(writer)
        progress = Progress(writer) if sys.stderr.isatty() else None
        with contextlib.ExitStack() as stack:
            stack.enter_context(_on_interrupt(self._interrupt))
            if live:
                say("soc: you are at the guest's console; Ctrl-] ends the run.")
                stack.enter_context(keyboard(machine.type, self._interrupt))
            try:
                result = machine.run(
                    max_virtual=self._max_virtual,
                    max_insns=arguments.max_insns,
                    until=arguments.until,
                    slice=arguments.slice,
                    progress=progress,
                    progress_ms=EVERY_MS,
                    pace=live,
                    at=self._saving.at,
                    profile=self._profiling.profile,
                    debugger=debugger,
                )
            finally:
                if progress is not None:
                    progress.hide()
        if not writer.at_line_start and sys.stdout.isatty():
            say("")
        self._saving.say_when_missed()
        return result

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
        self._machine.interrupt()

    def told(self) -> int:
        """Says what the run did; returns the exit status."""
        data = self._result.as_dict()
        self._close(data, self._machine.typed)
        if self._writer.refused:
            say(f"soc: {self._writer.refused}")
        if data["ended"] == "error":
            say(error_text(SocError(f"the run failed: {data['reason']}")))
        if self._waits:
            say(self._waits)
        say(summary(data))
        say(result_line(data))
        if self._writer.refused or self._saving.failed or not all(self._left):
            return FAILED
        return INTERRUPTED if self._interrupted else EXIT_STATUS[data["ended"]]

    def came_to_nothing(self, ended: str, reason: str, status: int) -> int:
        """Says so; returns `status`."""
        data = Result(0, 0.0, 0.0, 0.0, 0, "", ended, reason).as_dict()
        self._close(data, [])
        say(result_line(data))
        return status

    def _close(self, data: dict[str, Any], typed: list[tuple[int, bytes]]) -> None:
        if self._folder is not None:
            self._left.append(done(lambda: self._folder.finish(data, typed)))


def _folder(path: str, machine: Any) -> RunFolder:
    """The run folder, which gets the console and the trace from here on. Raises ConfigurationError, TraceFileError."""
    folder = RunFolder(path)
    folder.console.write(machine.console)
    machine.trace.record_to(folder.path / TRACE, {"platform": machine.platform.name, "cpus": len(machine.cpu)})
    return folder


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
