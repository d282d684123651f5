"""Fields of the VZ control registers, and the codes of guest exits.

Source: MIPS VZ module (MD00848); Linux 6.1: arch/mips/include/asm/mipsregs.h.
"""

from __future__ import annotations

# GuestCtl0
GM = 1 << 31  # guest mode, while root is at neither exception nor error level
RI = 1 << 30  # reserved instructions of the guest go to root
MC = 1 << 29  # mode changes of the guest go to root
CP0 = 1 << 28  # the guest may use its CP0
AT, AT_GUEST, AT_ROOT = 3 << 26, 3 << 26, 1 << 26  # who keeps the guest TLB
GT = 1 << 25  # the guest may use Count and Compare
CG = 1 << 24  # the guest may use CACHE by address
CF = 1 << 23  # the guest may write its Config registers
G1 = 1 << 22  # there is a GuestCtl1
PIP = 0x3F << 10  # interrupt lines that reach the guest, at the places of Cause.IP
RAD = 1 << 9  # no GuestIDs: root ASIDs tell guests apart
DRG = 1 << 8  # root's user mode reaches the memory of guest RID
GEXCCODE = 0x1F << 2
SFC2, SFC1 = 1 << 1, 1 << 0  # changes of the guest's CU2, CU1 are its own affair

# GuestCtl0Ext
CGI = 1 << 4  # the guest may use CACHE by index
FCD = 1 << 3  # no field-change exceptions
OG, BG, MG = 1 << 2, 1 << 1, 1 << 0  # groups of guest registers that go to root

# GuestCtl1
ID, RID_SHIFT = 0xFF, 16

# GuestCtl2
VIP = 0x3F << 10  # at the places of Cause.IP
HC_SHIFT = 14  # from a VIP bit to the one that lets the line's fall clear it

# GuestCtl0.GExcCode
GPSI, GSFC, HC, GRR = range(4)
GVA, GHFC, GPA = 8, 9, 10
