"""The behavioural vectors of the register reference, section 12, as data: modes hw and kvm.

Steps are separated by ``;``. Offsets and values are hexadecimal, pins, vectors and sources decimal.

W4 28=400       write 4 bytes; with a device before it: ``htv W4 20=8``. A row has a default device
R4 20=400       read and compare
CW8, CR8        the same as configuration registers, by core 0
L8+ L8-         drive input line 8
M100 M3-        an interrupt message arrives; the vector is withdrawn (kvm)
un8 mk8         clear, set bit 8 of MASK by read-modify-write
compare         core 0 writes CP0 Compare
+100us          time passes (ns, us)
sent lo 8 9     exactly these vectors left the device at that port since the last such step
pins 0.3 1.2    exactly IP3 of core 0 and IP2 of core 1 are asserted
sources 24 25   exactly these inputs of the LIOINTC are high
out intn0=1     level of an output of the device

A step that is the name of a macro, or of another row, stands for all its steps. HTV offsets are relative to the window
of the device tree, 0x80 into the HT configuration block; EXT and TMR offsets to 0x1fe00000.
"""

from typing import NamedTuple

ONES = "ffffffff"
LONG_ONES = 2 * ONES

INIT61 = [
    *(f"pic W1 {0x200 + p:x}={p:x}" for p in range(64)),
    *(f"pic W1 {0x100 + p:x}=1" for p in range(64)),
    *(
        f"pic W4 {offset + half:x}={value}"
        for half in (0, 4)
        for offset, value in ((0x20, ONES), (0x80, ONES), (0xC0, "0"), (0xE0, "0"), (0x40, ONES))
    ),
]
EXT419 = [
    "ext CW8 420=1000000000000",
    *(f"ext CW8 {0x14A0 + 2 * k:x}={k + 3:04x}{k + 2:04x}{k + 1:04x}{k:04x}" for k in range(0, 16, 4)),
    "ext CW8 14c0=" + "02" * 8,
    *(f"ext CW8 {0x1C00 + v:x}={'11' * 8}" for v in range(0, 256, 8)),
    *(f"ext CW8 {base + 8 * quad:x}={LONG_ONES}" for base in (0x1680, 0x1600) for quad in range(4)),
]
MACROS = {
    "init61": INIT61,
    "htv61": [step for i in range(8) for step in (f"htv W4 {0x20 + 4 * i:x}=0", f"htv W4 {4 * i:x}={ONES}")],
    "lio61": [
        "lio W4 2c=ffffffff",
        "lio W4 34=0",
        *(f"lio W1 {s:x}={0x11 if s < 24 else 0x21:x}" for s in range(32)),
    ],
    "ext419": EXT419,
    "bounce0": [f"ext CW8 {0x1680 + 8 * quad:x}=0" for quad in range(4)],
}
"""Initialisations of Linux 6.1 (boot core 0, tree loongson64g) and of Loongson's 4.19 guest kernel."""


class Vector(NamedTuple):
    """One row: its name, model, default device, steps with what they give, and where it comes from."""

    name: str
    mode: str
    device: str
    steps: str
    source: str


M7 = "7A1000 manual, interrupt controller"
M5_HT = "3A5000 manual, HyperTransport controller"
M5_LIO = "3A5000 manual, I/O interrupts"
M5_EXT = "3A5000 manual, extended I/O interrupts"
M5_IPI = "3A5000 manual, inter-processor interrupts"
M5_TMR = "3A5000 manual, software clock system"
L_PIC = "Linux 6.1: drivers/irqchip/irq-loongson-pch-pic.c"
L_MSI = "Linux 6.1: drivers/irqchip/irq-loongson-pch-msi.c"
L_HTV = "Linux 6.1: drivers/irqchip/irq-loongson-htvec.c"
L_LIO = "Linux 6.1: drivers/irqchip/irq-loongson-liointc.c"
L_DTS = "Linux 6.1: arch/mips/boot/dts/loongson/loongson64g-package.dtsi"
L_SMP = "Linux 6.1: arch/mips/loongson64/smp.c"
K_PIC = "Loongson 4.19 KVM: arch/mips/kvm/ls7a_irq.c"
K_EXT = "Loongson 4.19 KVM: arch/mips/kvm/ls3a_ext_irq.c"
K_IPI = "Loongson 4.19 KVM: arch/mips/kvm/ls3a_ipi.c"
K_VZ = "Loongson 4.19 KVM: arch/mips/kvm/ls3acomp-vz.c"
K_DRV = "Loongson 4.19 guest drivers"
O_HT = "kernel_2k1000 KVM: arch/mips/kvm/ls3a_ht_irq.c"
O_RT = "kernel_2k1000 KVM: arch/mips/kvm/ls3a_router_irq.c"

VECTORS = [
    Vector("P01", "hw", "pic", "R8 0=3f000107000000", f"{M7}; {L_PIC}"),
    Vector("P02", "kvm", "pic", "R8 0=1f000107000000", K_PIC),
    Vector("P03", "kvm", "pic", "W4 20=ffffffff; W4 24=ffffffff; R4 20=0; R8 20=0; W1 208=8; L8+; sent lo 8", K_PIC),
    Vector("P04", "hw", "pic", "R4 20=ffffffff; R4 24=ffffffff; R1 100=1; R1 205=5; R1 228=48", M7),
    Vector("P05", "kvm", "pic", "R8 20=0", K_PIC),
    Vector("P06", "hw", "pic", "init61; L8+; R4 380=100; R4 3a0=0; sent lo", f"{M7}; {L_PIC}"),
    Vector("P07", "hw", "pic", "P06; un8; sent lo 8; R4 3a0=100", M7),
    Vector("P08", "hw", "pic", "P07; mk8; W4 80=100; un8; sent lo 8", L_PIC),
    Vector("P09", "hw", "pic", "init61; un8; L8+; L8-; sent lo 8; R4 380=0; R4 3a0=0", M7),
    Vector("P10", "hw", "pic", "init61; W4 60=200; un9; L9+; L9-; R4 380=200; W4 80=200; R4 380=0; sent lo 9", M7),
    Vector("P11", "kvm", "pic", "W8 60=200; L9+; R8 3a0=0; sent lo", K_PIC),
    Vector("P13", "hw", "pic", "init61; un8; un9; L8+; L9+; W4 20=ffffffff; sent lo 8 9; R4 3a0=0; R4 380=300", K_PIC),
    Vector(
        "P14",
        "kvm",
        "pic",
        "W1 208=8; W1 209=9; W1 20a=a; W8 20=300; L10+; sent lo 10; L8+; L9+; sent lo;"
        "W8 20=400; sent lo 8 9; R8 3a0=300; W8 20=0; sent lo; R8 3a0=700",
        f"{K_PIC}; the last two steps show that pin 10 stayed in service",
    ),
    Vector("P16", "hw", "pic", "init61; W1 208=55; un8; L8+; sent lo 85", M7),
    Vector("P17", "hw", "pic", "init61; W4 3e0=100; un8; sent lo 8", M7),
    Vector("P18", "kvm", "pic", "W8 3e0=100; R8 3e0=100; sent lo", K_PIC),
    Vector("P19", "kvm", "pic", "W1 210=10; L16+; sent lo 16; R8 3a0=10000; W8 80=10000; R8 3a0=0; sent lo", K_PIC),
    Vector("P20", "hw", "pic", "init61; un16; L16+; W4 80=10000; sent lo 16 16", f"{M7}; inference"),
    Vector("P21", "kvm", "pic", "P19; L16-; L16+; sent lo 16", K_PIC),
    Vector("P22", "kvm", "pic", "L16+; R8 3a0=10000; W8 3a0=0; R8 3a0=0", K_PIC),
    Vector("P23", "hw", "pic", "init61; un16; L16+; W4 3a0=0; R4 3a0=10000", M7),
    Vector("P24", "hw", "pic", "un16; L16+; sent lo; sent hi; out intn0=1; sources 0; R4 300=10000; R4 320=0", M7),
    Vector("P25", "hw", "pic", "init61; W1 110=2; un16; L16+; sent lo; sent hi 16; R4 320=10000; R4 300=0", M7),
    Vector("P26", "hw", "pic", "htv61; msi W4 0=40; htv R4 8=1; R8 380=0; R8 3a0=0; msi R4 0=0", f"{L_MSI}; {M7}"),
    Vector("H01", "hw", "htv", "htv61; W4 20=ffffffff; M3; M8; R4 0=108; sources 24", f"{L_HTV}; {M5_HT}"),
    Vector("H02", "hw", "htv", "H01; W4 0=8; R4 0=100; sources 24", L_HTV),
    Vector("H03", "hw", "htv", "H02; W4 0=100; sources", L_HTV),
    Vector("H04", "hw", "htv", "htv61; M40; R4 4=100; sources; W4 24=100; sources 25", M5_HT),
    Vector("H05", "hw", "htv", "htv61; W4 3c=80000000; M255; sources 31", M5_HT),
    Vector(
        "H06",
        "kvm",
        "htv",
        "lio W1 18=21; lio W4 28=1000000; W4 20=8; M3; R4 0=8; sources 24; pins 0.3; M3-; R4 0=0; sources; pins",
        O_HT,
    ),
    Vector(
        "H07",
        "hw",
        "htv",
        "init61; pic W1 208=3; htv61; W4 20=8; pic un8; pic L8+; pic L8-; R4 0=8; sources 24; W4 0=8; sources",
        M5_HT,
    ),
    Vector("H08", "kvm", "htv", " ".join(f"M{v};" for v in range(16)) + "R4 0=ffff; W2 0=ffff; R4 0=ffff", O_HT),
    Vector(
        "R01",
        "hw",
        "lio",
        "lio61; W4 28=1000000; L24+; R4 20=1000000; R4 40=1000000; pins 0.3; R1 18=21",
        f"{L_DTS}; {L_LIO}",
    ),
    Vector("R02", "hw", "lio", "lio61; L24+; R4 40=0; pins; W4 28=1000000; pins 0.3", L_LIO),
    Vector("R03", "kvm", "lio", "W1 18=21; L24+; W4 28=1000000; R4 40=0; pins", O_RT),
    Vector("R04", "hw", "lio", "W1 0=11; W1 18=22; W4 28=1000001; L0+; L24+; pins 0.2 1.3", M5_LIO),
    Vector(
        "R06",
        "hw",
        "lio",
        "lio61; W4 28=400; W4 30=ffffffff; L10-; R4 30=ffffffff; pins; W4 30=0; pins; L10+; pins 0.2",
        L_LIO,
    ),
    Vector(
        "R07",
        "hw",
        "lio",
        "lio61; W4 34=400; W4 28=400; L10+; L10-; R4 20=400; W4 2c=400; W4 28=400; R4 20=0; pins",
        M5_LIO,
    ),
    Vector("R08", "hw", "lio", "W1 a=11; W4 28=400; L10+; R4 40=400; R4 48=0; pins 0.2", f"{M5_LIO}; QEMU; {O_RT}"),
    Vector("R08", "kvm", "lio", "W1 a=11; W4 28=400; L10+; R4 40=400; R4 48=0; pins 0.2", f"{M5_LIO}; QEMU; {O_RT}"),
    Vector("R09", "hw", "lio", "W4 20=ffffffff; W4 24=ffffffff; R4 20=0; R4 24=0", M5_LIO),
    Vector("R10", "hw", "lio", "lio61; W4 28=1000000; L24+; pins 0.3; W1 18=12; pins 1.2", M5_LIO),
    Vector(
        "X01",
        "hw",
        "pic",
        "init61; htv61; lio61; htv W4 20=100; lio W4 28=1000000; un8; L8+;pins 0.3; lio R4 40=1000000; htv R4 0=100",
        f"{L_PIC}; {L_HTV}; {L_LIO}",
    ),
    Vector(
        "X02",
        "hw",
        "pic",
        "X01; mk8; htv W4 20=0; pins; htv W4 0=100; htv R4 0=0; W4 80=100; htv W4 20=100; pins; un8; pins 0.3",
        L_PIC,
    ),
    Vector("E01", "hw", "ext", "ext419; M100; R8 1808=1000000000; CR8 1808=1000000000; pins 0.3", f"{K_DRV}; {M5_EXT}"),
    Vector("E02", "hw", "ext", "E01; W8 1808=1000000000; R8 1808=0; R8 1708=0; pins", M5_EXT),
    Vector(
        "E03", "hw", "ext", "ext419; W4 1600=0; M3; R4 1800=0; pins; W4 1600=ffffffff; R4 1800=8; pins 0.3", "QEMU 10.0"
    ),
    Vector("E05", "hw", "ext", "ext419; bounce0; W1 1c05=14; M5; R4 1a00=20; R4 1800=0; pins 2.3", M5_EXT),
    Vector("E06", "hw", "ext", "ext419; W1 14c0=0; M3; R4 1800=8; pins", "reference, decision"),
    Vector(
        "E07",
        "hw",
        "ext",
        "ext419; W1 1c08=13; M8; R8 1800=100; W8 1800=100; M8; R8 1800=0; R8 1900=100; W8 1900=100; M8; R8 1800=100",
        M5_EXT,
    ),
    Vector(
        "E08",
        "kvm",
        "ext",
        "ext419; CW1 1c08=13;" + 3 * "M8; CR8 1800=100; pins 0.3; CW8 1800=100; pins;",
        K_EXT,
    ),
    Vector("E11", "hw", "ext", "W4 1600=0; ipi CW8 1158=ffffffff70001600; R4 1600=ff", f"{M5_IPI}; {K_VZ}"),
    Vector("E11", "kvm", "ext", "CW4 1600=0; ipi CW8 1158=ffffffff70001600; CR4 1600=ff", f"{M5_IPI}; {K_VZ}"),
    Vector("E13", "hw", "ext", "ext419; W8 420=0; htv61; htv M100; R8 1708=0; htv R4 c=10", M5_EXT),
    Vector("I01", "hw", "ipi", "W4 4=0; W4 8=1; R4 0=1; pins", M5_IPI),
    Vector("I02", "hw", "ipi", "I01; W4 4=ffffffff; pins 0.6", M5_IPI),
    Vector("I03", "kvm", "ipi", "W4 4=0; W4 8=1; pins 0.6", K_IPI),
    Vector(
        "I05",
        "hw",
        "ipi",
        "W4 4=ffffffff; W4 8=5; R4 0=5; pins 0.6; W4 c=1; R4 0=4; pins 0.6; W4 c=4; R4 0=0; pins",
        M5_IPI,
    ),
    Vector("I06", "hw", "ipi", "W4 4=2; W4 8=1; pins; W4 8=2; pins 0.6; W4 c=2; pins; R4 0=1", M5_IPI),
    Vector("I06", "kvm", "ipi", "W4 4=2; W4 8=1; pins 0.6; W4 8=2; pins 0.6; W4 c=2; pins 0.6; R4 0=1", K_IPI),
    Vector("I07", "kvm", "ipi", "W4 8=0; R4 0=0; pins 0.6", K_IPI),
    Vector("I08", "hw", "ipi", "W4 8=7; R4 8=0; R4 c=0", f"{M5_IPI}; {K_IPI}"),
    Vector("I09", "hw", "ipi", "W8 20=1122334455667788; R4 24=11223344", M5_IPI),
    Vector("I10", "hw", "ipi", "CW4 1040=10002; R4 100=4; R4 0=0", M5_IPI),
    Vector(
        "I11",
        "hw",
        "ipi",
        "CW8 1048=dead80010004; R8 120=dead00000000; CW8 1048=beef80010000; R8 120=dead0000beef",
        f"{M5_IPI}; {L_SMP}",
    ),
    Vector("I13", "hw", "ipi", "W8 120=5; CW8 1048=10004; CW8 1048=10000; R8 120=0", M5_IPI),
    Vector("I14", "hw", "ipi", "W4 120=11223344; CW8 1048=aabbccdd08010000; R4 120=aabbcc44", M5_IPI),
    Vector(
        "I15",
        "hw",
        "ipi",
        "W8 238=0; W8 230=9800000000aa0000; W8 228=9800000000bb0000; W8 220=ffffffff80200000; pins;"
        "R8 238=0; R8 230=9800000000aa0000; R8 228=9800000000bb0000; R8 220=ffffffff80200000",
        L_SMP,
    ),
    Vector(
        "T01", "hw", "tmr", "CW8 1060=a000000000002710; +99990ns; pins; +10ns; pins 0.7; CR8 1070=ffffffffffff", M5_TMR
    ),
    Vector(
        "T02",
        "hw",
        "tmr",
        "CW8 1060=e000000000002710; +99990ns; pins; CR8 1070=1; +10ns; pins 0.7; CR8 1070=2710; +10us; compare; pins;"
        "+89990ns; pins; +10ns; pins 0.7; +10us; compare; pins; +89990ns; pins; +10ns; pins 0.7; CR8 1070=2710",
        M5_TMR,
    ),
    Vector(
        "T03",
        "hw",
        "tmr",
        "CW8 1060=a000000000002710; +150us; pins 0.7; CW8 1060=a000000000002710; pins 0.7; +50us; pins 0.7",
        f"{M5_TMR}; {K_DRV}",
    ),
    Vector("T04", "hw", "tmr", "T03; compare; pins; CR8 1070=1388; +49990ns; pins; +10ns; pins 0.7", K_DRV),
    Vector("T05", "hw", "tmr", "CW8 1060=8000000000002710; +1000us; pins", M5_TMR),
    Vector("T06", "hw", "tmr", "CW8 1060=a000000000002710; +30us; CR8 1070=1b58; R8 1070=1b58", M5_TMR),
]

WITH_KVM = "comes with KVM: needs "
NOT_REPRODUCED = {
    **{name: "qemu mode is not wanted" for name in "P12 P15 P27 P28 R05 E15 I04".split()},
    **{name: WITH_KVM + "CSR traps" for name in "E04 E09 E10 E12 E14 I12".split()},
    **{name: WITH_KVM + "preemption or one_reg" for name in "T07 T08 T09 T10".split()},
    **{f"V{n:02}": WITH_KVM + "a VM" for n in range(1, 14)},
    "I16": "a fact about Linux, not about a device",
    "G01": "its suspend; reset, power-off and the rest: tests/devices/test_rtc_power_against_qemu.py",
    "G05": "HPET, which no guest here uses",
    "G06": "HPET, which no guest here uses",
}

ON_MACHINE = "T11 T12 G02 G03 G04 G07".split()
"""Rows about a core or a platform: run in tests/soc/test_vectors_machine.py. Those of mode qemu hold on `virt`."""

CORRECTED = {
    "P03": "vectors are 0 at reset in kvm mode: the row sets vector 8 first, to tell the pin from another",
    "P14": "as P03; and what it says of pin 10 is visible only after pin 10 is unmasked",
    "T03": "the row says nothing of the rewritten timer: it runs, and its expiry is merged",
}
"""Rows where the steps here say more than the reference, and why. None was found wrong."""
