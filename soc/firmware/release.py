"""How a secondary core leaves the reset code: the state its four mailboxes ask for.

A machine may park a core instead of executing the ROM's poll loop, and release it into this state.
Source: linux-boot.md 1.8.
"""

from soc.firmware.boot import BootState

SP, GP, A1 = 29, 28, 5


def released_by(mailboxes: tuple[int, int, int, int]) -> BootState | None:
    """The entry state for mailboxes 0 to 3 (pc, sp, gp, a1; 64-bit unsigned), or None while mailbox 0 is zero."""
    pc, sp, gp, a1 = mailboxes
    if pc == 0:
        return None
    return BootState(pc=pc, registers={"sp": sp, "gp": gp, "a1": a1}, cp0={})
