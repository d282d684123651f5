"""Random guest programs: loads, stores and code over few pages, TLB and CP0 operations, exceptions and exits.

A program is a row of steps. Each begins by telling in $s7 where the next one is: that is where the guest's own handler
and the hypervisor go on, whatever a step ran into.
"""

from __future__ import annotations

from random import Random

from tests.cpu.core_rig import KSEG0, KX
from tests.cpu.hypervisor_rig import DATA, PAGE, PAGES

CODE = KSEG0 + PAGE
"""First step."""
END = 0x3FF
"""The HYPCALL that ends a program."""
MAPPED = 0x40_0000
"""Virtual addresses that the guest's own TLB entries are for."""

HANDLER = f"dmtc0 $s7, $14\nli $k0, {KX | 2}\nmtc0 $k0, $12\neret"
VALUES = ("$s0", "$s1", "$s2", "$s3")
READABLE = ("$0", "$1", "$2", "$5", "$6", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$16", "$20", "$16, 1")
PRIVILEGED = (
    "wait 0",
    "di $s0",
    "ei $s0",
    "cache 21, 0($a0)",
    "cache 1, 0($a0)",
    "cpucfg $s1, $zero",
    "tlbinvf",
    "tlbp",
)
TRAPS = ("syscall 0", "break 0", "teq $zero, $zero", ".word 0x00000039", "add.s $f0, $f0, $f0", "mfgc0 $s0, $12, 0")


def program(seed: int, steps: int) -> str:
    """Assembly of a guest whose code begins at CODE and whose EBase is the page before."""
    random = Random(seed)
    text = [f"dla $s7, step0\nli $k0, {KX}\nmtc0 $k0, $12\nli $s0, {random.randrange(1 << 30)}\nmove $s1, $s0"]
    for number in range(steps):
        text.append(f"step{number}: dla $s7, step{number + 1}")
        text += [_instruction(random) for _ in range(random.randrange(1, 7))]
    text.append(f"step{steps}: hypcall {END}")
    return "\n".join(text)


def handlers() -> str:
    return "\n".join(f".org {offset:#x}\n{HANDLER}" for offset in (0x000, 0x080, 0x180, 0x200))


def _address(random: Random) -> str:
    """Code that puts an address into $a0: unmapped over all pages and a few absent ones, or mapped."""
    offset = random.randrange(PAGE) & -8 | random.choice((0, 0, 0, 0, 1, 6))
    if random.random() < 0.5:
        page = random.randrange(DATA, PAGES + 2)
        segment = random.choice((KSEG0, 0xFFFF_FFFF_A000_0000, 0x9800_0000_0000_0000))
        return f"dli $a0, {segment + page * PAGE + offset:#x}"
    return f"dli $a0, {MAPPED + random.randrange(6) * PAGE + offset:#x}"


def _tlb(random: Random) -> str:
    """Code that maps a pair of pages of the guest."""
    lows = []
    for _ in range(2):
        flags = random.choice((7, 7, 6, 6, 2, 0)) | 3 << 3
        lows.append(random.randrange(DATA, PAGES) * PAGE >> 12 << 6 | flags)
    high = MAPPED + random.randrange(3) * 2 * PAGE | random.randrange(3)
    return (
        f"li $t0, {lows[0]}\ndmtc0 $t0, $2\nli $t0, {lows[1]}\ndmtc0 $t0, $3\nli $t0, {high}\ndmtc0 $t0, $10\n"
        f"li $t0, 0x6000\nmtc0 $t0, $5\n{random.choice(('tlbwr', 'tlbwr', 'tlbwi'))}"
    )


def _alias(random: Random) -> str:
    """Code that goes on through a mapped address of its own page, which the guest TLB is made to map."""
    return (
        "bal 1f\nnop\n1: dext $t1, $ra, 0, 29\ndsrl $t2, $t1, 15\ndsll $t2, $t2, 9\nori $t0, $t2, 0x1f\ndmtc0 $t0, $2\n"
        "ori $t0, $t2, 0x11f\ndmtc0 $t0, $3\nli $t0, 0x6000\nmtc0 $t0, $5\n"
        f"li $t0, {MAPPED + 8 * PAGE}\ndmtc0 $t0, $10\ntlbwr\ndext $t2, $t1, 0, 15\nor $t2, $t2, $t0\n"
        "daddiu $t2, $t2, 80\njr $t2\nnop\nnop\nnop\nnop"
    )


def _instruction(random: Random) -> str:
    a, b = random.choice(VALUES), random.choice(VALUES)
    kind = random.random()
    if kind < 0.12:
        return f"{random.choice(('daddu', 'xor', 'dsubu', 'mul'))} {a}, {a}, {b}"
    if kind < 0.45:
        name = random.choice(("lb", "lhu", "lw", "ld", "sb", "sh", "sw", "sd", "ldl", "sdr", "lwr", "swl"))
        return f"{_address(random)}\n{name} {a}, 0($a0)"
    if kind < 0.55:
        name = random.choice(("lw", "sd", "sb"))
        return f"{_address(random)}\nbgez {b}, .+8\n{name} {a}, 0($a0)"
    if kind < 0.60:
        return "dla $a0, .+32\nlw $t0, 0($a0)\nsw $t0, 0($a0)"  # a store into code that changes nothing
    if kind < 0.70:
        return _tlb(random)
    if kind < 0.74:
        return _alias(random)
    if kind < 0.78:
        return f"{_address(random)}\ndaddiu $a0, $a0, 7\nins $a0, $zero, 0, 3\nll {a}, 0($a0)\nsc {b}, 0($a0)"
    if kind < 0.84:
        return f"mfc0 {a}, {random.choice(READABLE)}"
    if kind < 0.88:
        return f"li $t0, {random.randrange(3)}\ndmtc0 $t0, $10"  # another ASID
    if kind < 0.91:
        return f"li $t0, {random.choice((KX | 0x10, 0x24000080, KX, KX | 4))}\nmtc0 $t0, $12"
    if kind < 0.95:
        return random.choice(PRIVILEGED)
    if kind < 0.98:
        return random.choice(TRAPS)
    return f"hypcall {random.randrange(8)}"
