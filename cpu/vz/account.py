"""A vCPU's account: what the compiled loop needs to know of a vCPU and its VM to carry out an access for the guest
(cpu/vz/short_access.py). One array, which begins with the image of the guest's CP0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from soc.time import Clock

IMAGE_WORDS = 256
(HZ, PERIOD, BIAS, EXPIRES, PS_PER_TICKS, TICKS, TO_PUT, TO_SEND, TO_LOAD, TO_ENTER, OWN, SAVED, LOADS, STORES, ADDRESS,
 SIZE, IS_STORE, ANSWER, STALE, WORDS) = range(IMAGE_WORDS, IMAGE_WORDS + 20)  # fmt: skip
"""What an account has behind the image: the soft timer (cpu/kvm/count.py), and the time in ns at which it expires. A
tick of the clock in ps, as a fraction. Cycles from an exit until the vCPU is put, from there to the access, from its
answer until the vCPU is loaded, from there into the guest. Addresses of the tables `own_table` and `Vz.saved_table`.
How many accesses the core has carried out since the host asked last; of the last one the address, the size, whether it
was a store, the answer, and the value stored or loaded."""


def own_table(ranges: Iterable[tuple[int, int]]) -> np.ndarray:
    """The table of the guest physical addresses that are not user space's, those in `ranges` (start, end): how many
    bounds it has, and the bounds in ascending order. An address is within where an odd number of them is not above it.
    """
    bounds: list[int] = []
    for start, end in sorted(ranges):
        if bounds and start <= bounds[-1]:
            bounds[-1] = max(bounds[-1], end)
        else:
            bounds += start, end
    known = [bound for bound in bounds if bound < 1 << 63]
    return np.array([len(known), *known], np.int64)


def open_account(cost: Callable[[str], int], clock: Clock, own: np.ndarray, saved: np.ndarray) -> np.ndarray:
    """The account of a vCPU. `cost`: cycles by name (soc/timing.py, kvm_*). `own`, `saved`: the tables, which stay
    where they are; `saved` has how many registers a put saves, and the number of each."""
    account = np.zeros(WORDS, np.int64)
    account[TO_PUT] = sum(cost(name) for name in ("kvm_exit", "kvm_handle_fault", "kvm_handle_mmio", "kvm_put"))
    account[TO_SEND], account[TO_LOAD], account[TO_ENTER] = cost("kvm_user"), cost("kvm_load"), cost("kvm_entry")
    account[PS_PER_TICKS], account[TICKS] = clock.fraction
    account[OWN], account[SAVED] = own.ctypes.data, saved.ctypes.data
    return account
