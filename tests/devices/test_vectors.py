"""The behavioural vectors of the register reference, mode hw, in its own notation.

Steps: ``W4 28=400`` writes 4 bytes; ``R4 20=400`` reads and compares; ``L24+`` and ``L24-`` drive source 24;
``pins 0.3 1.2``: exactly IP3 of core 0 and IP2 of core 1 are asserted. Offsets and values are hexadecimal.
"""

import re

import pytest

# Linux 6.1's initialisation on the 64g tree, boot core 0: sources 0 to 23 to IP2, 24 to 31 to IP3.
MACROS = {"lio61": ["W4 2c=ffffffff", "W4 34=0", *(f"W1 {s:x}={0x11 if s < 24 else 0x21:x}" for s in range(32))]}

LIOINTC = {
    "R01": (
        "lio61; W4 28=1000000; L24+; R4 20=1000000; R4 40=1000000; pins 0.3; R1 18=21",
        "Linux 6.1: loongson64g-package.dtsi, irq-loongson-liointc.c",
    ),
    "R02": (
        "lio61; L24+; R4 40=0; pins; W4 28=1000000; pins 0.3",
        "Linux 6.1: irq-loongson-liointc.c",
    ),
    "R04": (
        "W1 00=11; W1 18=22; W4 28=1000001; L0+; L24+; pins 0.2 1.3",
        "3A5000 manual: no cross product",
    ),
    "R06": (
        "lio61; W4 28=400; W4 30=ffffffff; L10-; R4 30=ffffffff; pins; W4 30=0; pins; L10+; pins 0.2",
        "Linux 6.1: irq-loongson-liointc.c: polarity has no effect",
    ),
    "R07": (
        "lio61; W4 34=400; W4 28=400; L10+; L10-; R4 20=400; W4 2c=400; W4 28=400; R4 20=0; pins",
        "3A5000 manual: INTENCLR forgets the edge",
    ),
    "R08": (
        "W1 0a=11; W4 28=400; L10+; R4 40=400; R4 48=0; pins 0.2",
        "3A5000 manual; QEMU and KVM agree",
    ),
    "R09": (
        "W4 20=ffffffff; W4 24=ffffffff; R4 20=0; R4 24=0",
        "3A5000 manual: read-only",
    ),
    "R10": (
        "lio61; W4 28=1000000; L24+; pins 0.3; W1 18=12; pins 1.2",
        "3A5000 manual: routing acts in the same write",
    ),
}

IPI = {
    "I01": ("W4 04=0; W4 08=1; R4 00=1; pins", "3A5000 manual"),
    "I02": ("W4 04=0; W4 08=1; W4 04=ffffffff; pins 0.6", "3A5000 manual"),
    "I05": (
        "W4 04=ffffffff; W4 08=5; R4 00=5; pins 0.6; W4 0c=1; R4 00=4; pins 0.6; W4 0c=4; R4 00=0; pins",
        "3A5000 manual",
    ),
    "I06": (
        "W4 04=2; W4 08=1; pins; W4 08=2; pins 0.6; W4 0c=2; pins; R4 00=1",
        "3A5000 manual; KVM and QEMU keep the pin",
    ),
    "I08": ("W4 08=7; R4 08=0; R4 0c=0", "3A5000 manual"),
    "I09": ("W8 20=1122334455667788; R4 24=11223344", "3A5000 manual"),
    "I15": (
        "W8 238=0; W8 230=9800000000aa0000; W8 228=9800000000bb0000; W8 220=ffffffff80200000; pins;"
        "R8 238=0; R8 230=9800000000aa0000; R8 228=9800000000bb0000; R8 220=ffffffff80200000",
        "Linux 6.1: arch/mips/loongson64/smp.c, the start of core 2",
    ),
}

NOT_REPRODUCED = {
    "R03": "kvm mode: an assertion while disabled is lost",
    "R05": "qemu mode: cross product of cores and pins",
    "I03": "kvm mode: ENABLE is ignored",
    "I04": "qemu mode: a write of ENABLE does not re-evaluate",
    "I07": "kvm mode: SET of 0 raises the pin",
    "I10": "needs the send registers, which are not built yet",
    "I11": "needs the send registers, which are not built yet",
    "I12": "kvm mode: the high half of a mail is latched",
    "I13": "kvm mode: a mail of zero to mailbox 0 is skipped",
    "I14": "needs the send registers, which are not built yet",
    "I16": "a fact about Linux, not about this device",
}

PINS = {
    "liointc": {f"pin[{4 * core + k}]": f"{core}.{k + 2}" for core in range(4) for k in range(4)},
    "ipi": {f"pin[{core}]": f"{core}.6" for core in range(4)},
}


def steps(text: str) -> list[str]:
    found = []
    for step in (part.strip() for part in text.split(";")):
        found += MACROS.get(step, [step])
    return found


@pytest.mark.parametrize(
    "kind, text, source",
    [pytest.param("liointc", *vector, id=name) for name, vector in LIOINTC.items()]
    + [pytest.param("ipi", *vector, id=name) for name, vector in IPI.items()],
)
def test_vector(rig, kind, text, source):
    device = rig.device(kind)
    for step in steps(text):
        if access := re.fullmatch(r"([RW])([1248]) (\w+)=(\w+)", step):
            size, offset, value = int(access[2]), int(access[3], 16), int(access[4], 16)
            if access[1] == "W":
                device.write(offset, size, value)
            else:
                assert device.read(offset, size) == value, f"{step} ({source})"
        elif line := re.fullmatch(r"L(\d+)([+-])", step):
            rig.input[int(line[1])].level = int(line[2] == "+")
        else:
            name, *expected = step.split()
            assert name == "pins", f"no such step: {step}"
            assert sorted(PINS[kind][port] for port in rig.lines) == expected, f"{step} ({source})"
    assert not device.model.undecoded


def test_every_vector_is_run_or_says_why_not():
    expected = {f"R{n:02}" for n in range(1, 11)} | {f"I{n:02}" for n in range(1, 17)}
    assert LIOINTC.keys() | IPI.keys() | NOT_REPRODUCED.keys() == expected
