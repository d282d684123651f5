"""`--save-at TIME --checkpoint FILE` and `--restore FILE`, of `soc run` and `soc boot`."""

import argparse
from typing import Any

from soc.commands.options import devices, placement, virtual_time
from soc.errors import ConfigurationError
from soc.time import seconds

MACHINE = (
    *("machine", "platform", "cpus", "ram_mb", "append", "kernel", "initrd", "run_stub", "strict"),
    *("hypervisor", "vcpus", "kvm", "irqchip"),
)
"""Options that say what the machine is; in a checkpoint all of that is settled."""


def add_saving(parser: argparse.ArgumentParser) -> None:
    """Options that save the machine on its way; the last to be added, as the defaults of the others are noted."""
    parser.add_argument("--save-at", type=virtual_time, metavar="TIME", help="save the machine at this model time ...")
    parser.add_argument("--checkpoint", metavar="FILE", help="... to this file, and go on")
    parser.set_defaults(untouched={name: parser.get_default(name) for name in MACHINE})


def refuse_half(arguments: argparse.Namespace) -> None:
    """Raises ConfigurationError where one of --save-at and --checkpoint lacks the other."""
    if (arguments.save_at is None) != (arguments.checkpoint is None):
        pair = "--save-at without --checkpoint" if arguments.checkpoint is None else "--checkpoint without --save-at"
        raise ConfigurationError(f"{pair}.\nGive both, as in --save-at 5s --checkpoint FILE.")


def restored(arguments: argparse.Namespace) -> Any:
    """The machine of --restore. Raises ConfigurationError where other options describe a machine, CheckpointError."""
    from soc.machine import Machine

    for name, default in arguments.untouched.items():
        if getattr(arguments, name, None) != default:
            option = f"--{name.replace('_', '-')}"
            raise ConfigurationError(
                f"{option} with --restore: the checkpoint says what the machine is.\nLeave {option} out."
            )
    return Machine.restore(
        arguments.restore,
        tier=arguments.tier,
        trace=arguments.out is not None,
        placement=placement(arguments.place) or None,
        devices=devices(arguments) or None,
    )


def rest_of(max_virtual: int, machine: Any) -> int:
    """What is left of `max_virtual`, ps since reset, for a restored machine. ConfigurationError for nothing."""
    if max_virtual <= machine.now:
        raise ConfigurationError(
            f"the model time ends at {seconds(max_virtual):g} s, and the checkpoint is of {seconds(machine.now):g} s.\n"
            "Give a later --max-virtual."
        )
    return max_virtual - machine.now
