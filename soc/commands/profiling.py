"""`--profile` of `soc run` and `soc boot`."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from soc.errors import ConfigurationError


class Profiling:
    """The profile of one run, or none."""

    def __init__(self, profile: Any, symbols: Any) -> None:
        self.profile = profile
        self._symbols = symbols

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Profiling:
        """What the options ask for. ConfigurationError when they contradict, or name no usable symbols."""
        if not arguments.profile:
            for option in ("profile_every", "symbols"):
                if getattr(arguments, option) is not None:
                    raise ConfigurationError(f"--{option.replace('_', '-')} without --profile.\nAdd --profile.")
            return cls(None, None)
        from soc.profile import symbols
        from soc.profile.profile import Profile
        from soc.profile.samples import EVERY

        program = getattr(arguments, "program", None) or getattr(arguments, "kernel", None)
        names = None
        if arguments.symbols:
            names = symbols.read(arguments.symbols)
        elif program:
            names = symbols.of_program(program)
        return cls(Profile(arguments.profile_every or EVERY), names)

    def starting(self) -> AbstractContextManager[None]:
        """Around the building and loading of the machine."""
        return nullcontext() if self.profile is None else self.profile.phase("machine and program")

    def finish(self, machine: Any, folder: Path | None) -> None:
        """The tables, and the files in the run folder. While the machine's memory can still be read."""
        if self.profile is None:
            return
        from soc.profile import report, symbols

        names = self._symbols or symbols.from_memory(machine.memory)
        report.show(self.profile, names)
        if folder is not None:
            report.write(self.profile, names, folder, f"Profile of a run on {machine.platform.name}")
