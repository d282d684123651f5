"""What a measurement has to work with: rounds, contestants, guests, a kernel."""

from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from types import ModuleType

from soc.bench import runs
from soc.bench.contest import Contestant, Make, Pair, Say, pair
from soc.bench.errors import NeedError
from soc.bench.qemu import Qemu, UserQemu
from soc.errors import ConfigurationError
from soc.fetch.cache import Material

# Nothing in the simulator imports that package; it is found by name.
GUESTS = "scenarios.guests.build"
QUICKER = 4
"""A quick run has so many times fewer iterations."""


@dataclass(frozen=True)
class Setting:
    """`tier` is this host's fastest; `qemu`, `user` and `material` are None where the host has none of them."""

    rounds: int
    tier: str
    quick: bool = False
    qemu: Qemu | None = None
    user: UserQemu | None = None
    material: Material | None = None
    say: Say = lambda text: None

    @cached_property
    def guests(self) -> ModuleType:
        """The guests' builder. Raises NeedError where the project's folder is not there."""
        try:
            return import_module(GUESTS)
        except ModuleNotFoundError as cause:
            raise NeedError(
                f"the guest builder {GUESTS} is not installed.\n"
                "Run from the project's folder, or `pip install -e .` there."
            ) from cause

    def program(self, name: str, *words: str, **options: str) -> Make:
        """What makes the guest `name`, by the builder's function for it. Raises NeedError without the compiler."""
        make = partial(getattr(self.guests, name), *words, **options)
        try:
            make(1)
        except ConfigurationError as error:
            raise NeedError(str(error)) from error
        return make

    @property
    def kernel(self) -> Material:
        """Kernel and initrd. Raises NeedError when none was fetched."""
        if self.material is None:
            raise NeedError("no kernel to boot was fetched.\n`soc fetch debian` gets one.")
        return self.material

    def count(self, iterations: int) -> int:
        """Iterations of a run: fewer of them in a quick one."""
        return max(iterations // QUICKER, 2) if self.quick else iterations

    def ours(self, make: Make, iterations: int, tier: str | None = None) -> Contestant:
        """This project on a tier, the fastest by default."""
        tier = tier or self.tier
        return Contestant(tier, lambda elf: runs.soc("run", "--tier", tier, elf), make, self.count(iterations))

    def guest(self, make: Make, iterations: int) -> Contestant:
        """The same in a virtual machine of the KVM model."""
        words = "run", "--tier", self.tier, "--hypervisor", "kvm"
        return Contestant("guest", lambda elf: runs.soc(*words, elf), make, self.count(iterations))

    def theirs(self, make: Make, iterations: int) -> Contestant | None:
        """QEMU's machine, if there is one."""
        return self._other(self.qemu, make, iterations)

    def theirs_in_user_mode(self, make: Make, iterations: int) -> Contestant | None:
        """QEMU's user mode, if it is there."""
        return self._other(self.user, make, iterations)

    def _other(self, other: Qemu | UserQemu | None, make: Make, iterations: int) -> Contestant | None:
        return Contestant(other.name, other.run, make, self.count(iterations)) if other else None

    def pair(self, name: str, ours: Contestant, theirs: Contestant | None) -> Pair:
        """Both measured in turns."""
        return pair(name, ours, theirs, self.rounds, self.say)
