"""`--save-at TIME --checkpoint FILE` and `--restore FILE`, of `soc run` and `soc boot`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soc.checkpoint import refuse_target
from soc.commands.options import devices, placement, virtual_time
from soc.commands.output import done, say
from soc.errors import ConfigurationError
from soc.time import seconds

MACHINE = (
    *("machine", "platform", "cpus", "ram_mb", "append", "kernel", "initrd", "run_stub", "strict", "ftlb"),
    *("unimplemented", "hypervisor", "vcpus", "kvm", "irqchip"),
)
"""Options that say what the machine is; in a checkpoint all of that is settled."""


def add_saving(parser: argparse.ArgumentParser) -> None:
    """Options that save the machine on its way; the last to be added, as the defaults of the others are noted."""
    parser.add_argument("--save-at", type=virtual_time, metavar="TIME", help="save the machine at this model time ...")
    parser.add_argument("--checkpoint", metavar="FILE", help="... to this file, and go on")
    parser.set_defaults(untouched={name: parser.get_default(name) for name in MACHINE})


class Saving:
    """What --save-at and --checkpoint ask for, and what became of it. A file that is refused does not end the run.

    Raises ConfigurationError where one of the two lacks the other, CheckpointError where the file cannot be made.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._at, self._file = arguments.save_at, arguments.checkpoint
        if (self._at is None) != (self._file is None):
            pair = "--save-at without --checkpoint" if self._file is None else "--checkpoint without --save-at"
            raise ConfigurationError(f"{pair}.\nGive both, as in --save-at 5s --checkpoint FILE.")
        if self._file is not None:
            refuse_target(Path(self._file))
        self._tried = False
        self.failed = False
        """Whether the host refused the file, which has been said."""

    @property
    def at(self) -> tuple[int, Callable[[Any], None]] | None:
        """For `Machine.run(at=...)`."""
        return None if self._at is None else (self._at, self._save)

    def _save(self, machine: Any) -> None:
        self._tried = True
        self.failed = not done(lambda: machine.save(self._file))

    def say_when_missed(self) -> None:
        """A run that ended too early has left no checkpoint."""
        if self._at is not None and not self._tried:
            say(f"soc: the run ended before --save-at: there is no {self._file}.")


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
