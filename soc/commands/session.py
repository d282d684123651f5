"""Runs a loaded machine for a command: console, keyboard, progress, summary, result line, exit status."""

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from soc.commands.options import disk, placement
from soc.commands.output import BAD_INPUT, FAILED, INTERRUPTED, LIMIT, OK, error_text, result_line, say
from soc.commands.progress import EVERY_MS, Progress
from soc.commands.run_folder import RunFolder
from soc.commands.summary import summary
from soc.commands.terminal import ConsoleWriter, interactive, keyboard
from soc.errors import SocError
from soc.trace.file import NAME as TRACE

STATUS = {"poweroff": OK, "until": OK, "limit": LIMIT, "deadlock": FAILED, "error": FAILED}
NOTHING_RAN = {
    "instructions": 0,
    "virtual_s": 0.0,
    "wall_s": 0.0,
    "mips": 0.0,
    "exits": 0,
    "trace_hash": "",
    "ended": "error",
}


def build(arguments: argparse.Namespace) -> Any:
    """The machine the options describe. Raises ConfigurationError for what cannot be built."""
    from soc.machine import Machine

    return Machine(
        getattr(arguments, "platform", "virt"),
        cpus=arguments.cpus,
        ram=arguments.ram_mb,
        tier=arguments.tier,
        strict=arguments.strict,
        placement=placement(arguments.place) or None,
        devices=_devices(arguments),
        hypervisor=arguments.hypervisor,
        vcpus=arguments.vcpus,
        kvm=arguments.kvm,
        irqchip=arguments.irqchip,
        trace=arguments.out is not None,
    )


def _devices(arguments: argparse.Namespace) -> dict[str, Any] | None:
    image = disk(getattr(arguments, "disk", None))
    return {"virtio_blk": image} if image else None


def session(
    arguments: argparse.Namespace,
    prepare: Callable[[], Any],
    finish: Callable[[Any], None] = lambda machine: None,
    max_virtual: int | None = None,
    person: bool = False,
) -> int:
    """Runs the machine `prepare` builds and loads; returns the exit status.

    `max_virtual` is in ps; `person` lets someone type where there is a terminal. `finish` sees the machine at the end.
    An error before the run is bad input (2), one of the run itself a failure (1); both still print a result line.
    """
    status = BAD_INPUT
    try:
        machine = prepare()
        folder = RunFolder(arguments.out) if arguments.out else None
        if folder is not None:
            about = {"platform": getattr(arguments, "platform", "virt"), "cpus": arguments.cpus}
            machine.trace.record_to(folder.path / TRACE, about)
        status = FAILED
        try:
            result, interrupted = _run(machine, arguments, folder, max_virtual, person and interactive())
        except SocError:
            machine.trace.close()
            raise
        machine.trace.close(result.trace_hash)
        finish(machine)
    except SocError as error:
        say(error_text(error))
        say(result_line({**NOTHING_RAN, "reason": str(error)}))
        return status
    data = result.as_dict()
    if folder is not None:
        folder.finish(data, machine.typed)
    if data["ended"] == "error":
        say(f"soc: the run failed: {data['reason']}")
    say(summary(data))
    say(result_line(data))
    return INTERRUPTED if interrupted else STATUS[data["ended"]]


def _run(
    machine: Any, arguments: argparse.Namespace, folder: RunFolder | None, max_virtual: int | None, live: bool
) -> tuple[Any, bool]:
    writer = ConsoleWriter(sys.stdout.buffer, machine.interrupt, folder.console if folder else None)
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
            )
        finally:
            if progress is not None:
                progress.hide()
    if not writer.at_line_start and sys.stdout.isatty():
        say("")
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
