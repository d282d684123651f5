"""Every latency, clock and cycle constant of the machine, with its unit and where it comes from.

`Timing()` holds the defaults; `Timing(irq_line="20 ns")`, or the table [timing] of a machine's TOML file, replaces
some.
Latencies marked "model choice" are assumptions: plausible for an on-chip register access, not measured on hardware.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from soc.errors import ConfigurationError, TimeError, choose
from soc.time import NEVER, Clock, duration


def _ps(default: str, source: str) -> Any:
    return field(default=duration(default), metadata={"unit": "ps", "source": source})


def _number(default: int, unit: str, source: str, most: int = NEVER - 1) -> Any:
    return field(default=default, metadata={"unit": unit, "source": source, "range": (1, most)})


MOST_CYCLES, MOST_CORE_HZ, MOST_STABLE_HZ = 1_000_000, 1 << 32, 1 << 30
"""Upper bounds of a number of core cycles and of two clocks in the table, as of cpu/costs.py."""


def _cycles(source: str, default: int = 1, least: int = 1, unit: str = "cycle") -> Any:
    return field(default=default, metadata={"unit": unit, "source": source, "range": (least, MOST_CYCLES)})


@dataclass(frozen=True)
class _Table:
    core_clock: int = _number(
        800_000_000,
        "Hz",
        "Linux reads it from the LEFI table as cpu_clock_freq; QEMU's loongson3-virt gives 800 MHz",
        MOST_CORE_HZ,
    )
    stable_clock: int = _number(
        100_000_000,
        "Hz",
        "of the stable timers and counter: what Loongson's KVM takes where CPUCFG does not say",
        MOST_STABLE_HZ,
    )
    cycles_alu: int = _cycles("model choice: integer arithmetic, logic, shifts, bit fields, moves, hints, traps")
    cycles_multiply: int = _cycles("model choice: integer multiply, multiply-add")
    cycles_divide: int = _cycles("model choice: integer divide, remainder")
    cycles_branch: int = _cycles("model choice: branches and jumps, taken or not; the delay slot has its own")
    cycles_load: int = _cycles("model choice: every load; a device's answer comes on top")
    cycles_store: int = _cycles("model choice: every store, SC too; a device's answer comes on top")
    cycles_sync: int = _cycles("model choice: SYNC")
    cycles_cache: int = _cycles("model choice: CACHE, SYNCI")
    cycles_cp0: int = _cycles("model choice: moves from and to CP0, DI, EI, ERET, WAIT, RDHWR, CPUCFG")
    cycles_tlb: int = _cycles("model choice: TLB operations")
    cycles_csr: int = _cycles("model choice: RDCSR and kin; the answer comes on top")
    cycles_fpu_move: int = _cycles("model choice: moves, absolute value, negation, control registers")
    cycles_fpu_add: int = _cycles("model choice: add, subtract, compare")
    cycles_fpu_convert: int = _cycles("model choice: conversions, roundings")
    cycles_fpu_multiply: int = _cycles("model choice: multiply, multiply-add")
    cycles_fpu_divide: int = _cycles("model choice: divide, reciprocal")
    cycles_fpu_sqrt: int = _cycles("model choice: square root, reciprocal square root")
    cycles_msa: int = _cycles("model choice: MSA, except its loads, stores and branches")
    exception_entry: int = _cycles("model choice: from an exception or interrupt to its handler", default=0, least=0)
    count_divider: int = _cycles(
        "Linux 6.1 arch/mips/loongson64/time.c: mips_hpt_frequency = cpu_clock_freq / 2",
        default=2,
        unit="core cycles per Count",
    )
    core_window: int = _ps(
        "250 ns", "model choice: cores take turns in windows of this length, or of mmio_request where that is shorter"
    )
    mmio_request: int = _ps("250 ns", "model choice: core to a device register, uncached")
    mmio_reply: int = _ps("250 ns", "model choice: device register back to the core")
    irq_line: int = _ps("10 ns", "model choice: device output to an interrupt controller's input")
    core_pin: int = _ps("10 ns", "model choice: interrupt controller to a core's IP input")
    ht_vector: int = _ps("100 ns", "model choice: an interrupt message from the bridge to the processor")
    pci_request: int = _ps("100 ns", "model choice: host bridge to a PCI function")
    pci_reply: int = _ps("100 ns", "model choice: PCI function back to the host bridge")
    dma_request: int = _ps("150 ns", "model choice: PCI function to memory")
    dma_reply: int = _ps("150 ns", "model choice: memory back to a PCI function")
    ipi_pin: int = _ps("10 ns", "model choice: inter-processor interrupt block to a core's IP6")
    console_line: int = _ps(
        "10 ns", "model choice: the wire between UART and terminal; character time is the UART's business"
    )
    typing_delay: int = _ps("1 ms", "model choice: from the shell's prompt to the first typed byte")
    typing_gap: int = _ps("100 us", "one byte at 115200 baud 8N1 takes 86.8 us, rounded up: a 16-byte FIFO keeps pace")
    uart_clock: int = _number(33_000_000, "Hz", "Linux 6.1 device tree loongson64v_4core_virtio: clock-frequency")
    # What the KVM model is charged; the guest's own instructions cost what they always do.
    kvm_exit: int = _number(100, "cycle", "model choice: the exit code, 32 GPRs and some 20 CP0 accesses")
    kvm_entry: int = _number(110, "cycle", "model choice: interrupts delivered, the entry code")
    kvm_refill: int = _number(14, "cycle", "instructions of the root TLB refill handler, Linux 6.1 kvm/entry.c")
    kvm_handle_int: int = _number(300, "cycle", "model choice: an exit for the host's own interrupt")
    kvm_handle_fault: int = _number(900, "cycle", "model choice: a root TLB fault: the GPA table, the slots")
    kvm_handle_aux: int = _number(250, "cycle", "model choice: FPU, MSA or LASX registers loaded")
    kvm_handle_gpsi: int = _number(200, "cycle", "model choice: a privileged instruction emulated")
    kvm_handle_gsfc: int = _number(180, "cycle", "model choice: a field change carried out")
    kvm_handle_hc: int = _number(120, "cycle", "model choice: a hypercall")
    kvm_handle_mmio: int = _number(300, "cycle", "model choice: a load or store of a device decoded, its bus searched")
    kvm_user: int = _number(2_400, "cycle", "model choice: back to user space and in again, the VMM's search")
    kvm_load: int = _number(150, "cycle", "model choice: a vCPU loaded whose registers are still in the core")
    kvm_restore: int = _number(250, "cycle", "model choice: what restoring all guest CP0 registers adds to that")
    kvm_put: int = _number(400, "cycle", "model choice: a vCPU put, all guest CP0 registers saved")
    kvm_schedule: int = _number(600, "cycle", "model choice: the host switches threads")
    kvm_kick: int = _ps("200 ns", "model choice: the host's reschedule interrupt, core to core")
    kvm_slice: int = _ps("4 ms", "model choice: how long a thread has a core while others wait; a tick at HZ = 250")


class Timing(_Table):
    """The timing of one machine. Keywords replace defaults; latencies take ps or text such as "120 ns".

    Raises ConfigurationError for an unknown name, TimeError for a value that cannot be read or is not positive.
    """

    def __init__(self, **replaced: int | str) -> None:
        table = {entry.name: entry for entry in fields(_Table)}
        for name in replaced:
            if name not in table:
                raise ConfigurationError(choose("timing constant", name, table))
        values = {}
        for name, entry in table.items():
            value = replaced.get(name, entry.default)
            if entry.metadata["unit"] == "ps":
                try:
                    value = duration(value)
                except TimeError as error:
                    raise TimeError(f"timing {name}: {error}") from None
            least, most = entry.metadata.get("range", (1, NEVER - 1))
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                needed = "a positive whole number" if most == NEVER - 1 else f"a whole number from {least} to {most:,}"
                raise TimeError(f"timing {name} = {value!r} {entry.metadata['unit']}: {needed} is needed")
            values[name] = value
        super().__init__(**values)

    @property
    def core(self) -> Clock:
        """The clock of the cores."""
        return Clock(self.core_clock)

    @property
    def instruction_cycles(self) -> dict[str, int]:
        """Core cycles of an instruction, by timing class (cpu.isa.table)."""
        prefix = "cycles_"
        return {
            entry.name.removeprefix(prefix): getattr(self, entry.name)
            for entry in fields(_Table)
            if entry.name.startswith(prefix)
        }

    def rows(self) -> Iterator[tuple[str, int, str, str]]:
        """(name, value, unit, source) of every constant, for reports and the docs."""
        for entry in fields(_Table):
            yield entry.name, getattr(self, entry.name), entry.metadata["unit"], entry.metadata["source"]
