"""`soc run`: a bare-metal ELF program on the machine."""

import argparse
from typing import Any

from soc.commands.checkpoint import add_saving, restored
from soc.commands.dump import write_dump
from soc.commands.options import add_limits, add_machine, refuse_malformed
from soc.commands.session import build, session, settled
from soc.errors import ConfigurationError
from soc.firmware.boot import prepare as prepare_boot


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("run", help="run a bare-metal MIPS ELF program")
    what = parser.add_mutually_exclusive_group(required=True)
    about = "64-bit little-endian MIPS ELF, linked to kseg0 addresses"
    what.add_argument("program", metavar="PROG.elf", nargs="?", help=about)
    what.add_argument("--restore", metavar="FILE", help="go on from a checkpoint")
    add_machine(parser)
    add_limits(parser)
    parser.add_argument("--dump-state", metavar="FILE.json", help="write the registers of every core at the end")
    add_saving(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the program until it powers the machine off or a limit is reached."""

    def prepare() -> Any:
        refuse_malformed(arguments)
        if arguments.restore:
            return restored(arguments)
        options = settled(arguments)
        image = prepare_boot(arguments.program, ram=options.ram, user_kernel=options.user_kernel)
        if image.kind == "linux":
            raise ConfigurationError(
                f"{arguments.program} is a Linux kernel, not a bare-metal program.\n"
                f"`soc boot --kernel {arguments.program}` boots it."
            )
        machine = build(arguments)
        machine.load(image)
        return machine

    def finish(machine: Any) -> None:
        if arguments.dump_state:
            cpus = machine.hypervisor.vcpus if machine.hypervisor else machine.cpu
            write_dump(arguments.dump_state, [cpu.get_state() for cpu in cpus])

    return session(arguments, prepare, finish, arguments.max_virtual)
