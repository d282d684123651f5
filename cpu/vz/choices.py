"""What an implementation of VZ may do either way, or the public facts leave open: the choices of a core's model.

The defaults are those of a Loongson-3A4000 as far as it is known. Sources: MIPS VZ module (MD00848); MIPS QEMU (VZ
branch): target-mips/op_helper.c; Linux 6.1: arch/mips/kernel/cpu-probe.c (cpu_probe_vz); Loongson 4.19:
arch/mips/kvm/vz.c (hardware_enable), for the FTLB's indices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from soc.errors import SocError, choose

DIRECT, GVA, WIDTH_CHANGES, HYPCALL_RI, FTLB_AT_64 = (1 << k for k in range(5))  # in the slot VZ_CHOICES


class ChoiceError(SocError):
    """A choice that there is not, or a value that it cannot have."""


@dataclass(frozen=True)
class Choices:
    """A core's model of VZ."""

    rad: bool = False
    """GuestCtl0.RAD: root ASIDs tell guests apart. There are no GuestIDs and no GuestCtl1 then."""
    guest_id_bits: int = 8
    """Bits of GuestCtl1.ID and RID, 1 to 8."""
    direct: bool = False
    """GuestCtl0.DRG can be set: root's user mode then reaches the memory of guest RID."""
    gva: bool = False
    """BadVAddr of a guest's access that root refuses is the guest virtual address, not the guest physical one."""
    width_changes: bool = False
    """A guest's change of Status.KX, SX or UX exits (GSFC)."""
    hypcall_ri: bool = False
    """HYPCALL in guest user mode is a reserved instruction, not CpU."""
    ftlb_at_64: bool = False
    """The guest's FTLB has the indices from 64 on, also where its VTLB is smaller."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "guest_id_bits" and type(value) is not bool:
                raise ChoiceError(f"vz: {name} = {value!r}; allowed: true, false")
        if type(self.guest_id_bits) is not int or not 1 <= self.guest_id_bits <= 8:
            raise ChoiceError(f"vz: guest_id_bits = {self.guest_id_bits!r}; 1 to 8 are possible")

    @classmethod
    def of(cls, given: bool | Mapping[str, Any] | Choices) -> Choices | None:
        """The choices of a core: None without VZ, the defaults for True, else those named."""
        if isinstance(given, Choices):
            return given
        if not isinstance(given, Mapping):
            return cls() if given else None
        known = [entry.name for entry in fields(cls)]
        for name in given:
            if name not in known:
                raise ChoiceError(f"vz: {choose('choice', name, known)}")
        return cls(**given)

    @property
    def ids(self) -> int:
        """The GuestIDs there are, as a mask; 0: none."""
        return 0 if self.rad else (1 << self.guest_id_bits) - 1

    @property
    def bits(self) -> int:
        """What the slot VZ_CHOICES holds."""
        flags = {
            DIRECT: self.direct,
            GVA: self.gva,
            WIDTH_CHANGES: self.width_changes,
            HYPCALL_RI: self.hypcall_ri,
            FTLB_AT_64: self.ftlb_at_64,
        }
        return sum(bit for bit, chosen in flags.items() if chosen)
