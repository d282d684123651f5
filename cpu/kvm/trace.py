"""Trace events of KVM, with the names and fields of the source; nothing is kept until somebody listens.

Source: Linux 6.1: arch/mips/kvm/trace.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from soc.errors import ConfigurationError, choose

FIELDS: dict[str, tuple[str, ...]] = {
    "kvm_enter": ("pc",),
    "kvm_reenter": ("pc",),
    "kvm_out": ("pc",),
    "kvm_exit": ("pc", "reason"),
    "kvm_hwr": ("op", "reg", "val"),
    "kvm_aux": ("pc", "op", "state"),
    "kvm_asid_change": ("pc", "old_asid", "new_asid"),
    "kvm_guestid_change": ("guestid",),
    "kvm_guest_mode_change": ("epc", "pc", "badvaddr", "status", "cause"),
}
EXIT_WAIT, EXIT_CACHE, EXIT_SIGNAL, EXIT_GUEST = 32, 33, 34, 64
"""Reasons of kvm_exit beyond the ExcCodes; a guest exit is EXIT_GUEST + GExcCode."""
HWR_MFC0, HWR_MTC0, HWR_DMFC0, HWR_DMTC0, HWR_RDHWR = range(5)
AUX_RESTORE, AUX_SAVE, AUX_ENABLE, AUX_DISABLE, AUX_DISCARD = range(5)
AUX_FPU, AUX_MSA, AUX_FPU_MSA, AUX_LASX, AUX_ALL = 1, 2, 3, 4, 7


class Event(NamedTuple):
    """One event: core cycle, vCPU, name, values in the order of FIELDS."""

    cycle: int
    vcpu: int
    name: str
    values: tuple[Any, ...]


class Tracer:
    """Hands the events that are wanted to a listener.

    `kvm_guest_mode_change` costs the guest an exit at each of its exceptions: GuestCtl0.MC is set while it is wanted,
    from the vCPU's next load on.
    """

    def __init__(self, changing: Callable[[], None] = lambda: None) -> None:
        """`changing` is called before other events are wanted."""
        self._changing = changing
        self.wanted: frozenset[str] = frozenset()
        self._listener: Callable[[Event], None] = lambda event: None

    def listen(self, listener: Callable[[Event], None], *names: str) -> None:
        """Call `listener` with each event of `names` from now on; no names: no events. ConfigurationError for another
        name than those of FIELDS."""
        for name in names:
            if name not in FIELDS:
                raise ConfigurationError(choose("trace event", name, FIELDS))
        self._changing()
        self.wanted, self._listener = frozenset(names), listener

    def emit(self, cycle: int, vcpu: int, name: str, *values: Any) -> None:
        """An event happened; the caller has looked at `wanted`."""
        self._listener(Event(cycle, vcpu, name, values))
