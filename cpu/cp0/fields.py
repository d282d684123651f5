"""Fields of the CP0 registers, in place, and the codes of exceptions, by the names that Linux has for them.

Those of the VZ control registers are in cpu/vz/guestctl.py. Sources: MIPS Architecture For Programmers, volume III
(MD00091); Linux 6.1: arch/mips/include/asm/mipsregs.h; for what only Loongson has (LASXEN, LASXMODE, the timer's bits
of Config6, GSCause) the Loongson 4.19 tree's version of it.
"""

from __future__ import annotations

from cpu.isa.values import EXC_CODES

# EntryLo
ENTRYLO_G, ENTRYLO_V, ENTRYLO_D = 1 << 0, 1 << 1, 1 << 2
ENTRYLO_XI = 1 << 62

# PageGrain
PG_IEC, PG_ELPA, PG_XIE, PG_RIE = 1 << 27, 1 << 29, 1 << 30, 1 << 31

# EntryHi
EHINV = 1 << 10

# HWREna, bits with the numbers that registers have for RDHWR; the last is the stable counter
HWR_CPUNUM, HWR_SYNCI_STEP, HWR_CC, HWR_CCRES, HWR_ULR, HWR_STABLE = 0, 1, 2, 3, 29, 30

# Status
ST_IE, ST_EXL, ST_ERL = 1 << 0, 1 << 1, 1 << 2
ST_KSU, ST_USER = 3 << 3, 2 << 3
ST_UX, ST_SX, ST_KX = 1 << 5, 1 << 6, 1 << 7
ST_NMI, ST_BEV, ST_PX = 1 << 19, 1 << 22, 1 << 23
ST_FR, ST_CU0, ST_CU1, ST_CU2 = 1 << 26, 1 << 28, 1 << 29, 1 << 30

# IntCtl
INTCTL_VS = 0x1F << 5  # in place, it is the spacing of vectors in bytes

# Cause, with its interrupt lines at the places that Status.IM has them
CAUSE_EXCCODE = 0x1F << 2
CAUSE_IP = 0xFF << 8
IP6, IP7 = 1 << 14, 1 << 15
CAUSE_WP, CAUSE_IV, CAUSE_DC = 1 << 22, 1 << 23, 1 << 27
CAUSE_CE, CAUSE_TI, CAUSE_BD = 3 << 28, 1 << 30, 1 << 31

# EBase
EBASE_CPUNUM, EBASE_WG = 0x3FF, 1 << 11

# Config to Config6. MT: what there is of TLBs; TLBS: entries of the VTLB less one.
CONFIG_M = 1 << 31
CONFIG_K0 = 7
CONFIG_MT, CONFIG_MT_TLB, CONFIG_MT_FTLB = 7 << 7, 1 << 7, 4 << 7
CONFIG_AR = 7 << 10
CONFIG_LASXEN = 1 << 19
CONFIG1_FP = 1 << 0
CONFIG1_TLBS_SHIFT, CONFIG1_TLBS_SIZE = 25, 0x3F
CONFIG3_LPA, CONFIG3_CTXTC, CONFIG3_ULRI = 1 << 7, 1 << 9, 1 << 13
CONFIG3_ISA_ON_EXC, CONFIG3_VZ, CONFIG3_MSA = 1 << 16, 1 << 23, 1 << 28
CONFIG4_FTLBPAGESIZE = 0x1F << 8
CONFIG4_KSCREXIST_SHIFT = 16
CONFIG5_MRP, CONFIG5_MSAEN = 1 << 3, 1 << 27
CONFIG6_INNTIMER, CONFIG6_EXTIMER = 1 << 6, 1 << 7
CONFIG6_SFBEN, CONFIG6_LASXMODE, CONFIG6_FTLBDIS = 1 << 8, 1 << 21, 1 << 22

# Diag: a write of one drops that TLB.
DIAG_VTLB, DIAG_FTLB = 1 << 12, 1 << 13

# Cause.ExcCode
(EXCCODE_INT, EXCCODE_MOD, EXCCODE_TLBL, EXCCODE_TLBS, EXCCODE_ADEL, EXCCODE_ADES, EXCCODE_IBE, EXCCODE_DBE,
 EXCCODE_SYS, EXCCODE_BP, EXCCODE_RI, EXCCODE_CPU, EXCCODE_OV, EXCCODE_TR, EXCCODE_MSAFPE, EXCCODE_FPE, EXCCODE_GSEXC,
 EXCCODE_TLBRI, EXCCODE_TLBXI, EXCCODE_MSADIS, EXCCODE_WATCH, EXCCODE_MCHECK,
 EXCCODE_GE) = EXC_CODES.values()  # fmt: skip
