"""The registers that gdb is told of, and the target description that tells it.

The features org.gnu.gdb.mips.* and their numbers are gdb's ("Debugging with GDB", "Target Descriptions", "MIPS
Features"). The other CP0 registers are a feature of our own, named as in the manual; in guest mode a CP0 register is
the guest context's, where it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from cpu import state
from cpu.cp0 import registers as cp0
from cpu.cp0 import timer
from cpu.isa.fpu import FIR
from cpu.words import M32, M64
from soc.errors import SocError

ARCHITECTURE = "mips:isa64r2"
CPU, CP0, FPU = "org.gnu.gdb.mips.cpu", "org.gnu.gdb.mips.cp0", "org.gnu.gdb.mips.fpu"
OWN = "org.loongson-soc.cp0"
GDB_CP0 = ("status", "badvaddr", "cause")
"""The registers of the feature CP0, in gdb's order of features."""
REGISTER_BYTES = 8


class RegisterRefused(SocError):
    """A register that cannot be written now, or ever."""


@dataclass(frozen=True)
class Register:
    """One register of 64 bits in gdb's eyes. `get(core)` gives it unsigned; `put(core, value)` is None for one that is
    only read."""

    name: str
    number: int
    feature: str
    get: Callable[[Any], int]
    put: Callable[[Any, int], None] | None
    type: str = "int"

    def read(self, core: Any) -> bytes:
        """Its REGISTER_BYTES bytes, as gdb has them."""
        return self.get(core).to_bytes(REGISTER_BYTES, "little")

    def write(self, core: Any, data: bytes) -> None:
        """Raises RegisterRefused for one that is only read, and while the core is in the middle of an access."""
        value = int.from_bytes(data, "little")
        if self.put is None:
            raise RegisterRefused(f"{self.name} is read-only")
        if core.S[state.AWAITS] or core.S[state.RESUME]:
            raise RegisterRefused(f"core {core.number} is in the middle of an access: step it first")
        if value != self.get(core):
            self.put(core, value)


def _slot(at: int) -> Callable[[Any], int]:
    return lambda core: core.words[at] & M64


def _set(name: str) -> Callable[[Any, int], None]:
    return lambda core, value: core.set_state({name: value})


def _set_pc(core: Any, value: int) -> None:
    """A stop there has not been told of."""
    core.set_state({"pc": value})
    core.S[state.STEP] = 0


def _set_in(name: str, n: int) -> Callable[[Any, int], None]:
    """Puts one of a file of registers. The upper half of a vector register stays."""

    def put(core: Any, value: int) -> None:
        values = core.get_state()[name]
        values[n] = (value, values[n][1]) if name == "msa" else value
        core.set_state({name: values})

    return put


def _cp0(name: str) -> tuple[Callable[[Any], int], Callable[[Any, int], None] | None]:
    row = cp0.register(name)

    def bank(core: Any) -> int:
        return core.words[state.BANK] if row.guest not in ("", "H") else 0

    def get(core: Any) -> int:
        if name == "count":
            return int(timer.count(core.S, bank(core), core.cycles))
        return core.words[bank(core) + row.slot] & (M64 if row.width == 64 else M32)

    def put(core: Any, value: int) -> None:
        if bank(core):
            raise RegisterRefused(f"{name} is the guest context's, which only root's software can write")
        core.set_state({"cp0": {name: value}})

    return get, put if row.mask else None


def _listed(vz: bool) -> Iterator[Register]:
    for n in range(32):
        yield Register(f"r{n}", n, CPU, _slot(state.GPR + n), _set_in("gpr", n) if n else None)
    yield Register("lo", 33, CPU, _slot(state.LO), _set("lo"))
    yield Register("hi", 34, CPU, _slot(state.HI), _set("hi"))
    yield Register("pc", 37, CPU, lambda core: core.pc, _set_pc, "code_ptr")
    for name, number in zip(GDB_CP0, (32, 35, 36), strict=True):
        yield Register(name, number, CP0, *_cp0(name))
    for n in range(32):
        at = state.FPR + state.FPR_STRIDE * n
        yield Register(f"f{n}", 38 + n, FPU, _slot(at), _set_in("msa", n), "ieee_double")
    yield Register("fcsr", 70, FPU, _slot(state.FCSR), _set("fcsr"))
    yield Register("fir", 71, FPU, lambda core: FIR, None)
    own = [row for row in cp0.REGISTERS.values() if row.modelled and (vz or not row.vz) and row.name not in GDB_CP0]
    for number, row in enumerate(own, 72):
        yield Register(row.name, number, OWN, *_cp0(row.name))


@cache
def registers(vz: bool) -> tuple[Register, ...]:
    """All, by number. `vz`: of a core with the VZ module."""
    return tuple(sorted(_listed(vz), key=lambda register: register.number))


@cache
def description(vz: bool) -> str:
    """The target description of such a core, in XML."""
    lines = ['<?xml version="1.0"?>', '<!DOCTYPE target SYSTEM "gdb-target.dtd">', "<target>"]
    lines.append(f"<architecture>{ARCHITECTURE}</architecture>")
    for feature in (CPU, CP0, FPU, OWN):
        lines.append(f'<feature name="{feature}">')
        group = {CPU: "general", FPU: "float"}.get(feature, "system")
        for r in registers(vz):
            if r.feature == feature:
                lines.append(f'<reg name="{r.name}" bitsize="64" regnum="{r.number}" type="{r.type}" group="{group}"/>')
        lines.append("</feature>")
    return "\n".join([*lines, "</target>", ""])
