"""`soc trace`: interrupt latency from the trace of a run folder, and its exports."""

import argparse
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from soc.commands.options import count
from soc.commands.output import FAILED, OK, error_text, say
from soc.errors import ConfigurationError, SocError
from soc.trace.file import NAME, TraceFileError
from soc.trace.latency import Latency, Spread, spreads
from soc.trace.path import TIMER
from soc.trace.trace import Trace
from soc.trace.wiring import component

FORMATS = {
    "perfetto": "Perfetto (JSON trace events), with a flow arrow for each interrupt",
    "vcd": "VCD: lines, pins, vectors; needs pyvcd",
    "ftrace": "ftrace text",
}


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("trace", help="interrupt latency, hop by hop, from a run folder; exports")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    latency = actions.add_parser("latency", help="where the time of interrupts goes")
    _add_folder(latency)
    latency.add_argument(
        "name", nargs="?", metavar="NAME", help="where they begin: a component, a port, ipi, msi, timer (default: list)"
    )
    latency.add_argument("--through", metavar="COMPONENT", help="only those that passed it, such as eiointc")
    latency.add_argument("--per-core", action="store_true", help="also the total of each core")
    latency.add_argument("--histogram", action="store_true", help="the totals as bars")
    latency.add_argument("--outliers", type=count, metavar="N", help="the N longest, with their story")
    latency.add_argument("--png", metavar="FILE", help="a picture; needs matplotlib")
    latency.add_argument("--html", metavar="FILE", help="one self-contained page")
    latency.set_defaults(command=show_latency)
    export = actions.add_parser("export", help="write the trace in another form")
    _add_folder(export)
    for name, about in FORMATS.items():
        export.add_argument(f"--{name}", metavar="FILE", help=about)
    export.add_argument("--text", metavar="FILE", help="every message, a line each")
    export.set_defaults(command=export_trace)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUNDIR", help=f"folder of a run (--out), or a {NAME} file")


def show_latency(arguments: argparse.Namespace) -> int:
    """Prints the latencies; status 1 when the trace is damaged and only a part of it was read."""
    trace, status = _load(arguments.folder)
    if arguments.name is None and arguments.through is None:
        for name in ("per_core", "histogram", "outliers", "png", "html"):
            if getattr(arguments, name):
                raise ConfigurationError(
                    f"--{name.replace('_', '-')} is about one kind of interrupt, and none is named.\n"
                    f"This trace has: {', '.join(origins(trace)) or 'none'}."
                )
        print(overview(trace))
        return status
    latency = trace.latency(arguments.name, arguments.through)
    print(latency.table(arguments.per_core))
    if arguments.histogram and latency.complete:
        print()
        _print_bars(latency)
    for outlier in latency.outliers(arguments.outliers) if arguments.outliers else ():
        print(f"\n{outlier}")
    about = facts(trace)
    if arguments.png:
        _write(arguments.png, lambda path: import_module("soc.trace.picture").draw(latency, path, about))
    if arguments.html:
        _write(arguments.html, lambda path: import_module("soc.trace.page").write(latency, path, about))
    return status


def export_trace(arguments: argparse.Namespace) -> int:
    """Writes the exports that were asked for; status 1 when only a part of a damaged trace was read."""
    wanted = {name: getattr(arguments, name) for name in FORMATS if getattr(arguments, name)}
    if not wanted and not arguments.text:
        raise ConfigurationError(
            f"no form to export to.\nGive one or more of {', '.join(f'--{name} FILE' for name in [*FORMATS, 'text'])}."
        )
    trace, status = _load(arguments.folder)
    for name, path in wanted.items():
        write = import_module(f"soc.trace.{name}").write
        _write(path, lambda path, write=write: write(trace.activity, path, facts(trace)))
    if arguments.text:
        _write(arguments.text, lambda path: _write_lines(path, trace))
    return status


def overview(trace: Trace) -> str:
    """The totals of every component that interrupts came from, as a table."""
    rows: list[Spread] = []
    notes = []
    for name in origins(trace):
        latency = trace.latency(name)
        if latency.complete:
            rows.append(latency.total._replace(name=name))
        if note := latency.note():
            notes.append(f"({name}: {note})")
    if not rows and not notes:
        return "no interrupt in this trace"
    return "\n".join([spreads("from beginning to end", rows), *notes])


def origins(trace: Trace) -> list[str]:
    """Names for `Trace.latency`: the components that interrupts came from, the cores' timers as one."""
    return sorted({TIMER if path.kind == TIMER else component(path.origin) for path in trace.activity.paths})


def facts(trace: Trace) -> dict[str, Any]:
    """What the file says about its run, for titles."""
    return {**trace.about, **({"trace hash": trace.run_hash[:12]} if trace.run_hash else {})}


def _load(folder: str) -> tuple[Trace, int]:
    path = Path(folder)
    try:
        return Trace.load(path / NAME if path.is_dir() else path), OK
    except TraceFileError as error:
        if error.readable is None:
            raise
        say(error_text(error))
        return error.readable, FAILED


def _print_bars(latency: Latency) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    bars = latency.histogram(bins=20, width=max(10, min(60, console.width - 30)))
    console.print(bars, style="blue" if console.is_terminal else None, soft_wrap=True, markup=False)


def _write(path: str, write: Callable[[str], None]) -> None:
    try:
        write(path)
    except OSError as cause:
        raise SocError(f"cannot write {path}: {cause.strerror}.\nGive another file.") from cause
    say(f"soc: wrote {path}")


def _write_lines(path: str, records: Iterable[Any]) -> None:
    with Path(path).open("w", encoding="utf-8") as file:
        file.writelines(f"{record}\n" for record in records)
