"""What a guest's instructions do, as data: mode, permissions, field changes, coprocessors, translation, timer, links.

The default state is that of `vz_rig`: GuestCtl0 with GM, CP0, AT = 3, GT, CG and CF; guest kernel mode with interrupts
off; root with KX alone. The guest's code begins at P; where it falls through, HYPCALL 0 ends it. The second column
says where a row comes from: the number of independent sources that agree, or "i" for what is inferred; docs/vz.md
names them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cpu.isa.assembler import assemble
from tests.cpu.core_rig import BEV, EXL, IEC, IP, KX, M64, RI_BIT, RIE, G, V, physical
from tests.cpu.vz_rig import (
    AT1,
    AT3,
    BG,
    CF,
    CG,
    CGI,
    CP0,
    D0,
    DRG,
    FCD,
    GB,
    GE,
    GHFC,
    GM,
    GPA,
    GPSI,
    GRR,
    GSFC,
    GT,
    GUEST_RAM,
    GVA,
    HC,
    ID,
    MC,
    MG,
    OG,
    RB,
    RI,
    SFC1,
    Entry,
    GuestRun,
    P,
    guest_lo,
    maps,
    move,
)

IE, KSU_USER, UX, CU0, CU1, FR = 1, 0x10, 1 << 5, 1 << 28, 1 << 29, 1 << 26
BEV_ERL, MSAEN, TI, DC = 0x00400004, 1 << 27, 1 << 30, 1 << 27
CONFIG5 = 1  # NFExists alone
CONFIG, LASXEN = 0x80004482, 1 << 19
U = 0x400000
"""A guest user address that the guest TLB maps to the page at P."""
USER_CODE = Entry(U, guest_lo(0x100000))


@dataclass(frozen=True)
class Vector:
    """One row. `exit`: Cause.ExcCode and GExcCode (None: not looked at) of the exit, with root waiting at `vector`;
    `inside`: ExcCode and offset of the guest's own vector instead; neither: the code falls through. Then registers,
    whole or as (value, mask), and the GuestIDs of TLB entries, None for an invalid one. `model`: the choices of
    cpu/vz/choices.py that differ from the default."""

    number: str
    source: str
    run: GuestRun
    exit: tuple[int, int | None] | None = None
    vector: int = 0x180
    inside: tuple[int, int] | None = None
    epc: int | None = None
    root: dict = field(default_factory=dict)
    gcp0: dict = field(default_factory=dict)
    gpr: dict = field(default_factory=dict)
    root_tlb: dict[int, int | None] = field(default_factory=dict)
    guest_tlb: dict[int, int | None] = field(default_factory=dict)
    model: dict[str, bool | int] = field(default_factory=dict)


def word(text: str) -> int:
    return assemble(text).words[0]


def user(guest: str, status: int = 0, **other) -> GuestRun:
    """The guest's code in user mode."""
    gcp0 = {"status": KSU_USER | status} | other.pop("gcp0", {})
    return GuestRun(guest, gcp0=gcp0, gtlb=(USER_CODE, *other.pop("gtlb", ())), entry=U, **other)


def run(guest: str, control: int = D0, ext: int = 0, **other) -> GuestRun:
    root = {"guestctl0": control, "guestctl0ext": ext} | other.pop("root", {})
    return GuestRun(guest, root=root, **other)


SPIN = "1: b 1b\nnop"
ROOT_TIMER = "mfc0 $t8, $9\naddiu $t8, $t8, 200\nmtc0 $t8, $11"
AGAIN = "bnez $k1, 1f\nli $k1, 1\n{}\n1: wait 0"  # a handler that waits the second time
MASKED = "li $k0, 0x82\nmtc0 $k0, $12\nwait 0"  # a handler that lets no more interrupts end its WAIT
KSEG0 = 0xFFFF_FFFF_8000_0000

# fmt: off
MODE = [
    Vector("1", "2", run("mfc0 $v0, $12, 0"), gpr={"v0": 0}),
    Vector("2", "2", run("hypcall 5"), (GE, HC), epc=P, root={"guestctl0": (GM, GM), "status": KX | EXL}),
    Vector("3", "2", GuestRun("hypcall 5", handler="li $k0, 0x84\nmtc0 $k0, $12\nli $v1, 3\nwait 0"), (GE, HC), 0x18C,
           root={"guestctl0": (GM, GM)}, gpr={"v1": 3}),
    Vector("4", "2", GuestRun("nop", root={"guestctl0": D0 & ~GM, "status": KX | KSU_USER}), (4, None), epc=P,
           root={"badvaddr": P}),
    Vector("6", "2", GuestRun("hypcall 5", handler="li $k0, 0x80\nmtc0 $k0, $12\nli $v1, 3"), (2, GPA), 0x080,
           epc=RB + 0x188, root={"badvaddr": 0x188}, gpr={"v1": 0}),
    Vector("7", "2",
           GuestRun("hypcall 5", handler="mtc0 $zero, $12, 6\nli $k0, 0x80\nmtc0 $k0, $12\nli $v1, 3\nwait 0"),
           (GE, HC), 0x190, gpr={"v1": 3}),
    Vector("8", "1", run("mfc0 $v0, $12, 0", root={"status": KX | KSU_USER}), gpr={"v0": 0}),
    Vector("9", "2", run("mtc0 $t0, $9"), (GE, GPSI), epc=P, root={"cause": (0, 1 << 31),
           "badinstr": word("mtc0 $t0, $9"), "status": KX | EXL, "guestctl0": (GM, GM)},
           gcp0={"status": 0, "cause": 0, "epc": 0}),
    Vector("10", "2", run("nop\nb .+8\nmtc0 $t0, $9"), (GE, GPSI), epc=P + 4, root={"cause": (1 << 31, 1 << 31),
           "badinstr": word("mtc0 $t0, $9"), "badinstrp": word("b .+8")}),
    Vector("11", "2", run(SPIN, root={"status": KX | IE | IP[7]}, before=ROOT_TIMER, handler=MASKED), (0, None), 0x188,
           gcp0={"cause": 0}),
    Vector("11 IV", "2", run(SPIN, root={"status": KX | IE | IP[7], "cause": 1 << 23}, before=ROOT_TIMER,
           handler=MASKED), (0, None), 0x208),
    Vector("12", "2", run("mtc0 $t0, $9", root={"status": KX | BEV}), (GE, GPSI), epc=P),
]

PERMISSION = [
    Vector("13", "2", user("mfc0 $v0, $12, 0"), inside=(11, 0x180), gcp0={"cause": (0, 3 << 28), "epc": U}),
    Vector("14", "1", user("mfc0 $v0, $12, 0", CU0), gpr={"v0": KSU_USER | CU0}),
    Vector("15", "2", run("mfc0 $v0, $12, 0", D0 & ~CP0), (GE, GPSI), epc=P),
    Vector("16", "2", user("mfc0 $v0, $12, 0", root={"guestctl0": D0 & ~CP0}), inside=(11, 0x180)),
    Vector("17 MG", "1", run("mfc0 $v0, $0", ext=MG), (GE, GPSI), epc=P),
    Vector("17", "1", run("mfc0 $v0, $0", gcp0={"index": 5}), gpr={"v0": 5}),
    Vector("18 OG", "1", run("dmfc0 $v0, $31, 2", ext=OG), (GE, GPSI), epc=P),
    Vector("18", "1", run("dmfc0 $v0, $31, 2", gcp0={"kscratch1": 0x123456789A}), gpr={"v0": 0x123456789A}),
    Vector("18 last", "1", run("dmtc0 $t0, $31, 7", gpr={"t0": 0x123456789A}), gcp0={"kscratch6": 0x123456789A}),
    Vector("19 BG", "1", run("dmfc0 $v0, $8", ext=BG), (GE, GPSI), epc=P),
    Vector("19", "1", run("dmfc0 $v0, $8", gcp0={"badvaddr": 0xABCDEF0123}), gpr={"v0": 0xABCDEF0123}),
    Vector("20 GT=0", "2", run("mfc0 $v0, $9", D0 & ~GT), (GE, GPSI), epc=P),
    Vector("21", "2", run("mtc0 $v0, $9"), (GE, GPSI), epc=P),
    Vector("22", "2", run("mtc0 $t0, $11", gcp0={"cause": 1 << 30}, gpr={"t0": 0x7000_0000}),
           gcp0={"compare": 0x7000_0000, "cause": 0}),
    Vector("23 write", "1", run("mtc0 $zero, $16", D0 & ~CF), (GE, GPSI), epc=P),
    Vector("23 read", "1", run("mfc0 $v0, $16", D0 & ~CF), gpr={"v0": 0xFFFF_FFFF_8000_4482}),
    Vector("24", "2", run("mfc0 $v0, $15"), (GE, GPSI), epc=P),
    Vector("25 Wired", "2", run("mtc0 $zero, $6", D0 & ~AT3 | AT1), (GE, GPSI), epc=P),
    Vector("25 TLBWI", "2", run("tlbwi", D0 & ~AT3 | AT1), (GE, GPSI), epc=P),
    Vector("25 TLBR", "2", run("tlbr", D0 & ~AT3 | AT1), (GE, GPSI), epc=P),
    Vector("26", "2", run("wait 0"), (GE, GPSI), epc=P),
    Vector("27", "1", run("mfc0 $v0, $12, 6", gpr={"v0": 5}), gpr={"v0": 0}),
    Vector("28", "2", run("mfgc0 $v0, $12, 0"), inside=(10, 0x180),
           gcp0={"epc": P, "badinstr": word("mfgc0 $v0, $12, 0")}),
    Vector("29", "2", run(".word 0x00000039", D0 | RI), (GE, GRR), epc=P, root={"badinstr": 0x39}),
    Vector("30 CG", "2", run("cache 21, 0($zero)")),
    Vector("30", "2", run("cache 21, 0($zero)", D0 & ~CG), (GE, GPSI), epc=P),
    Vector("31", "2", run("cache 1, 0($zero)"), (GE, GPSI), epc=P),
    Vector("31 CGI", "2", run("cache 1, 0($zero)", ext=CGI)),
    Vector("32", "1", user("rdhwr $v0, $2"), inside=(10, 0x180), gcp0={"epc": U}),
    Vector("33", "2", user("rdhwr $v0, $2", gcp0={"hwrena": 4}, root={"guestctl0": D0 & ~GT}), (GE, GPSI), epc=U),
    Vector("34", "2", run("nop\nhypcall 0"), (GE, HC), epc=P + 4, root={"badinstr": 0x42000028}),
    Vector("35", "1", user("hypcall 0"), inside=(11, 0x180), gcp0={"epc": U}),
    *(Vector(f"36 {text.split()[0]}", "2", run(text, gpr={"t0": 0x7FFF_FFFF}), inside=(code, 0x180), gcp0={"epc": P})
      for text, code in (("syscall 0", 8), ("break 0", 9), ("teq $zero, $zero", 13), ("add $v0, $t0, $t0", 12))),
    Vector("37", "2", run("eret\nnop\nnop", gcp0={"status": EXL, "epc": P + 8}), gcp0={"status": 0}),
    Vector("38", "1", run("eret\nnop\nnop", D0 | MC, gcp0={"status": EXL, "epc": P + 8}), (GE, GHFC), epc=P + 8,
           gcp0={"status": 0}),
    Vector("39", "1", run("syscall 0", D0 | MC), (GE, GHFC), epc=GB + 0x180, gcp0={"epc": P, "status": EXL}),
    Vector("40", "1", run("syscall 0", D0 | MC, FCD), inside=(8, 0x180), gcp0={"epc": P}),
    Vector("41", "2", run("cpucfg $v0, $a0"), (GE, GPSI), epc=P, root={"badinstr": 0xC8881118}),
    Vector("42", "2", run("nop", D0 & ~CP0, before="mfgc0 $v0, $12, 0", gcp0={"status": 0xFF01}),
           gpr={"v0": 0xFF01}),
]


def status_write(value: int, old: int = 0, control: int = D0, ext: int = 0, **other) -> GuestRun:
    return run("mtc0 $t0, $12", control, ext, gcp0={"status": old}, gpr={"t0": value}, **other)


FIELD_CHANGE = [
    Vector("43", "2", run("mtc0 $zero, $12", gcp0={"status": BEV_ERL}), (GE, GSFC), epc=P, gcp0={"status": BEV_ERL}),
    Vector("44", "1", status_write(0xFF00), gcp0={"status": 0xFF00}),
    Vector("45", "2", status_write(CU1), (GE, GSFC), epc=P, gcp0={"status": 0}),
    Vector("46", "1", status_write(CU1, 0, D0 | SFC1), gcp0={"status": CU1}),
    Vector("47", "1", status_write(CU1, CU1), gcp0={"status": CU1}),
    Vector("48", "1", status_write(FR, 0, D0 | SFC1), (GE, GSFC), epc=P),
    Vector("49", "1", run("mtc0 $t0, $12", gpr={"t0": KSU_USER | EXL}), gcp0={"status": KSU_USER | EXL}),
    Vector("49 MC", "1", run("mtc0 $t0, $12", D0 | MC, gpr={"t0": KSU_USER | EXL}), (GE, GSFC), epc=P),
    Vector("50", "1", run("mtc0 $zero, $12", ext=FCD, gcp0={"status": BEV_ERL}), gcp0={"status": 0}),
    Vector("51", "2", run("mtc0 $t0, $13", gpr={"t0": 1 << 27}), (GE, GSFC), epc=P, gcp0={"cause": 0}),
    Vector("52", "1", run("mtc0 $t0, $13", gpr={"t0": 1 << 8}), gcp0={"cause": 1 << 8}),
    Vector("53", "2", run("mtc0 $t0, $12, 1", gpr={"t0": 0x20}), (GE, GSFC), epc=P),
    Vector("54", "2", run("mtc0 $t0, $16, 5", gpr={"t0": CONFIG5 | MSAEN}), (GE, GSFC), epc=P),
    Vector("55", "1", run("mtc0 $t0, $16, 5", D0 & ~CF, gpr={"t0": CONFIG5 | MSAEN}), (GE, GPSI), epc=P),
    Vector("56", "2", run("mtc0 $t0, $12", gcp0={"config1": 0xFEAB5582}, gpr={"t0": 0x24000001}), (GE, GSFC), epc=P),
]

BOTH = {"status": KX | CU1}
ADDV = ".word 0x7846188e"  # addv.w $w2, $w3, $w6
MSA_ON = {"config5": CONFIG5 | MSAEN}
XVSELI = "xvseli.d $w1, $w2, 12"
LASX_ON = {"config": CONFIG | LASXEN, "config5": CONFIG5 | MSAEN}  # of the guest
MODE_ON, ROOT_LASX = {"config6": 1 << 21}, {"config": CONFIG | LASXEN}

COPROCESSORS = [
    Vector("59", "2", run("add.s $f0, $f0, $f0"), inside=(11, 0x180), gcp0={"cause": (1 << 28, 3 << 28)}),
    Vector("60", "2", run("add.s $f0, $f0, $f0", gcp0={"status": CU1 | FR}), (11, None), epc=P,
           root={"cause": (1 << 28, 3 << 28), "badinstr": word("add.s $f0, $f0, $f0")}, gcp0={"cause": 0}),
    Vector("61", "2", run("add.s $f0, $f0, $f0", gcp0={"status": CU1 | FR}, root=BOTH)),
    Vector("62", "2", run(ADDV), inside=(21, 0x180)),
    Vector("63", "2", run(ADDV, gcp0=MSA_ON), (21, None), epc=P),
    Vector("64", "2", run(ADDV, gcp0=MSA_ON | {"status": CU1}, root=BOTH | MSA_ON), inside=(10, 0x180)),
    Vector("MSAP", "2", run(ADDV, gcp0={"config3": 0x8C0030A0}), inside=(10, 0x180)),
    Vector("65", "1", run(XVSELI, gcp0=LASX_ON, root=MODE_ON), (16, None), epc=P, root={"gscause": 7 << 2},
           gcp0={"gscause": 0}),
    Vector("65 MSA", "i", run(XVSELI, gcp0=LASX_ON, root=MODE_ON | ROOT_LASX), (21, None), epc=P),
    Vector("65 both", "1", run(XVSELI, gcp0=LASX_ON, root=MODE_ON | ROOT_LASX | MSA_ON)),
    Vector("65 guest", "i", run(XVSELI, gcp0=MSA_ON, root=MODE_ON), inside=(16, 0x180), gcp0={"gscause": 7 << 2},
           root={"gscause": 0}),
    Vector("65 guest MSA", "i", run(XVSELI, gcp0=LASX_ON | {"config5": CONFIG5}, root=MODE_ON), inside=(21, 0x180)),
    Vector("65 FR=0", "1", run(XVSELI, gcp0=LASX_ON | {"status": CU1}, root=MODE_ON), inside=(10, 0x180)),
    Vector("65 MSAP", "i", run(XVSELI, gcp0=LASX_ON | {"config3": 0x8C0030A0}, root=MODE_ON), inside=(10, 0x180)),
    Vector("65 LASXMODE", "i", run(XVSELI, gcp0=LASX_ON, root=ROOT_LASX | MSA_ON), inside=(10, 0x180)),
    Vector("LASXEN", "i", run("mtc0 $t0, $16", gpr={"t0": CONFIG | LASXEN}), (GE, GSFC), epc=P,
           gcp0={"config": CONFIG}),
]

DATA = 0x8000
"""A guest physical address that nothing maps."""
LOAD, STORE = "lw $v0, 0($a0)", "sw $v0, 0($a0)"


def access(text: str, address: int, **other) -> GuestRun:
    return run(text, gpr={"a0": address}, **other)


TRANSLATION = [
    Vector("67", "2", run("nop", entry=KSEG0 + 0x1000), (2, GPA), 0x080, epc=KSEG0 + 0x1000, root={"badvaddr": 0x1000,
           "entryhi": 0}, gcp0={"status": 0, "badvaddr": 0, "epc": 0}),
    Vector("68", "2", run("nop", entry=KSEG0 + 0x1000, root={"status": 0}), (2, GPA), 0x000, root={"badvaddr": 0x1000}),
    Vector("69", "2", GuestRun("hypcall 5", handler=AGAIN.format("lw $v0, 0x7000($zero)")), (2, HC), 0x18C,
           root={"badvaddr": 0x7000, "epc": P}),
    Vector("70", "2", access(LOAD, 0x9800_0000_1234_5678, gcp0={"status": KX}), (2, GPA), 0x080, epc=P,
           root={"badvaddr": 0x12345678}),
    Vector("71", "2", access(LOAD, 0xFFFF_FFFF_BFC0_0000), (2, GPA), 0x080, epc=P, root={"badvaddr": 0x1FC00000}),
    Vector("72", "2", user(LOAD, gpr={"a0": 0x4000}), inside=(2, 0x000), gcp0={"badvaddr": 0x4000, "epc": U}),
    Vector("72 UX", "2", user(LOAD, UX, gpr={"a0": 0x4000}), inside=(2, 0x080), gcp0={"badvaddr": 0x4000, "epc": U}),
    Vector("73", "2", access(LOAD, 0x4000, gcp0={"status": EXL, "epc": 0x1234}), inside=(2, 0x180),
           gcp0={"epc": 0x1234}),
    Vector("74", "2", access(LOAD, 0x4000, gtlb=(Entry(0x4000, guest_lo(DATA)),)), (2, GPA), 0x080, epc=P,
           root={"badvaddr": DATA}, gcp0={"badvaddr": 0}),
    Vector("75", "2", access(STORE, 0x4000, gtlb=(Entry(0x4000, guest_lo(DATA, V)),), tlb=(maps(DATA, V),)),
           inside=(1, 0x180), gcp0={"badvaddr": 0x4000}),
    Vector("76", "2", access(STORE, 0x4000, gtlb=(Entry(0x4000, guest_lo(DATA)),), tlb=(maps(DATA, V),)), (1, GPA),
           epc=P, root={"badvaddr": DATA}),
    Vector("77", "2", access(LOAD, 0x4000, gtlb=(Entry(0x4000, guest_lo(DATA)),), tlb=(maps(DATA, 0),)), (2, GPA),
           epc=P, root={"badvaddr": DATA}),
    Vector("78 IEC", "2", access(LOAD, 0x4000, gcp0={"pagegrain": RIE | IEC},
           gtlb=(Entry(0x4000, guest_lo(DATA) | RI_BIT),)), inside=(19, 0x180)),
    Vector("78", "2", access(LOAD, 0x4000, gcp0={"pagegrain": RIE}, gtlb=(Entry(0x4000, guest_lo(DATA) | RI_BIT),)),
           inside=(2, 0x180)),
    Vector("79", "2", user(LOAD, gpr={"a0": KSEG0}), inside=(4, 0x180), gcp0={"badvaddr": KSEG0}),
    Vector("80", "2", access(LOAD, 0x2000, gcp0={"status": 4}), (2, GPA), 0x080, epc=P, root={"badvaddr": 0x2000}),
    Vector("81", "2", access(LOAD, KSEG0 + DATA, tlb=(maps(DATA),), root={"guestctl1": 2 << 16 | 2}), (2, GPA), 0x080,
           epc=P, root={"badvaddr": 0x100000}),
]

def tlb(index: int, high: int, tag: int, low: int = 0) -> str:
    """Root code that writes the registers of a TLB operation."""
    names = {"index": index, "entryhi": high, "entrylo0": low, "entrylo1": low, "pagemask": 0}
    return move("mtc0", "guestctl1", tag << 16 | ID) + "".join(move("mtc0", n, v) for n, v in names.items())


TWO_TAGS = (Entry(0x4000, guest_lo(DATA), tag=1), Entry(0x6000, guest_lo(DATA), tag=2))

TLB_INSTRUCTIONS = [
    Vector("82", "1", run("nop", before=tlb(7, DATA, 1, guest_lo(0)) + "tlbwi\ntlbr\ndmfc0 $s0, $2\nmfc0 $s1, $10, 4"),
           gpr={"s0": guest_lo(0) | G, "s1": 1 << 16 | ID}, root_tlb={7: 1}),
    Vector("83", "2", run("nop", tlb=(maps(DATA, tag=3),), before=tlb(1, 0, 0) + "tlbr\nmfc0 $s1, $10, 4"),
           gpr={"s1": 3 << 16 | ID}),
    Vector("84", "1", run("nop", before=tlb(9, 0, 5) + "tlbr\ndmfc0 $s0, $10\nmfc0 $s1, $10, 4"),
           gpr={"s0": 0x400, "s1": ID}),
    Vector("85", "1", run("mtc0 $s0, $0\ntlbr\ndmfc0 $v0, $10\ndmfc0 $v1, $2\nmfc0 $a1, $5", gtlb=TWO_TAGS,
           gpr={"s0": 1, "v1": 5, "a1": 5}), gpr={"v0": 0x400, "v1": 0, "a1": 0}),
    Vector("86", "1", run("mtc0 $zero, $0\ntlbinvf", gtlb=TWO_TAGS), guest_tlb={0: None, 1: 2}),
    Vector("87", "1", run("nop", gtlb=TWO_TAGS, before=move("mtc0", "guestctl1", 2 << 16 | ID) + "tlbginvf"),
           guest_tlb={0: 1, 1: None}, root_tlb={0: 1}),
    Vector("88", "2", run("nop", tlb=(maps(DATA),), before=tlb(1, 0x400, ID) + "tlbwi"), root_tlb={1: None}),
    Vector("TLBGP", "2", run("nop", gtlb=TWO_TAGS, before=move("mtc0", "guestctl1", 2 << 16 | ID)
           + move("mtgc0", "entryhi", 0x6000) + "tlbgp"), gcp0={"index": 1}),
    Vector("TLBGP other", "2", run("nop", gtlb=TWO_TAGS, before=move("mtgc0", "entryhi", 0x6000) + "tlbgp"),
           gcp0={"index": (1 << 31, 1 << 31)}),
]

PGD, PMD, PTE, PAGE = 0x40000, 0x44000, 0x48000, 0xA04000
KERNEL_TABLE, GUEST_TABLE = KSEG0 + 0x50000, KSEG0 + PGD
PW = {"pwbase": GUEST_TABLE, "kscratch6": KERNEL_TABLE, "pwfield": 0x24019388, "pwsize": 0x4B00B2C0,
      "pwctl": 0x40000044, "pagemask": 0x6000}
WALK = "dmfc0 $k1, $9, 7\nlddir $k0, $k1, 3\nlddir $k1, $k0, 1\nldpte $k1, 0\nldpte $k1, 1\ntlbwr\neret"
PTE_FLAGS = 3 << 11 | 1 << 10 | 1 << 9
TABLES = {PGD: KSEG0 + PMD, PMD + 8 * 9: KSEG0 + PTE, PTE + 8 * 0xD1: PAGE >> 12 << 14 | PTE_FLAGS,
          PAGE + 0x1678: 0x600D}
HUGE_TABLES = {PGD: KSEG0 + PMD, PMD + 8 * 9: PTE_FLAGS | 0x10, 0x345678: 0x4096}

WALKER = [
    Vector("91", "i", access(LOAD, KSEG0 + DATA, tlb=(maps(DATA, tag=0),)), (2, GPA), 0x080, root={"badvaddr": DATA}),
    Vector("92", "i", access("ld $v0, 0($a0)", 0x9800_0000_1234_5678, gcp0={"status": KX}, root=PW, refill=WALK,
           memory=TABLES), gpr={"v0": 0x600D}),
    Vector("92 huge", "i", access("ld $v0, 0($a0)", 0x9800_0000_1234_5678, gcp0={"status": KX}, root=PW, refill=WALK,
           memory=HUGE_TABLES), gpr={"v0": 0x4096}),
    Vector("93 low", "i", access(LOAD, KSEG0 + DATA, root=PW, refill="dmfc0 $v1, $9, 7\nwait 0"), (2, GPA), 0x084,
           gpr={"v1": GUEST_TABLE}),
    Vector("93 high", "i", run("hypcall 5", root=PW,
           handler="bnez $k1, 1f\nli $k1, 1\nlui $k0, 0xc000\nlw $v0, 0($k0)\n1: dmfc0 $v1, $9, 7\nwait 0"),
           (2, HC), 0x194, gpr={"v1": KERNEL_TABLE}),
]

RETURN = AGAIN.format("dmfc0 $k0, $14\ndaddiu $k0, $k0, 4\ndmtc0 $k0, $14\neret")


def offset(guest: int, count: int) -> str:
    """Root code that sets GTOffset and Count, which then stands still."""
    return move("mtc0", "cause", DC) + move("mtc0", "gtoffset", guest) + move("mtc0", "count", count)


LINK = "ll $v0, 0($a0)\n{}\nsc $v1, 0($a0)"


def link(between: str, **other) -> GuestRun:
    return run(LINK.format(between), tlb=(maps(DATA),), gpr={"a0": KSEG0 + DATA, "v1": 1}, **other)


TIMER_AND_LINKS = [
    Vector("94", "2", run("mfc0 $v0, $9", before=offset(0xFFFFFDA8, 1000)), gpr={"v0": 400}),
    Vector("95", "2", run("mfc0 $v0, $9", before=offset(2, 0xFFFFFFFF)), gpr={"v0": 1}),
    Vector("96", "2", run("1: mfc0 $v0, $13\nsll $v1, $v0, 1\nbgez $v1, 1b\nmfc0 $a0, $9", gcp0={"compare": 400},
           root={"gtoffset": 0xFFFFFDA8}, before=move("mtc0", "count", 900)), gcp0={"cause": TI | IP[7]}),
    Vector("97", "2", run("nop", D0 & ~GT, gcp0={"cause": TI}, before=move("mtgc0", "compare", 5)), gcp0={"cause": 0}),
    Vector("98", "1", run("mfc0 $v0, $9\nnop\nnop\nnop\nmfc0 $v1, $9\nsltu $v0, $v0, $v1", gcp0={"cause": DC}),
           gpr={"v0": 1}),
    Vector("99", "2", run("li $t0, 200\n1: addiu $t0, $t0, -1\nbnez $t0, 1b\nnop", gcp0={"compare": 0x1000},
           root={"gtoffset": 0xFFFFC000}, before=move("mtc0", "count", 0x5000)), gcp0={"cause": 0}),
    Vector("102", "2", run("nop", gcp0={"status": 0x401}, root={"guestctl2": 0x400}), inside=(0, 0x180),
           gcp0={"epc": P, "cause": IP[2]}),
    Vector("102 IV", "2", run("nop", gcp0={"status": 0x401, "cause": 1 << 23}, root={"guestctl2": 0x400}),
           inside=(0, 0x200), gcp0={"epc": P}),
    Vector("103", "2", run("nop", gcp0={"status": 0x403}, root={"guestctl2": 0x400}), gcp0={"cause": IP[2]}),
    Vector("102 MTGC0", "2", run("nop", gcp0={"status": 0x401, "cause": IP[2] | 1 << 9}), gcp0={"cause": 1 << 9}),
    Vector("104", "1", run("nop", root={"guestctl2": 0x01000400}, lines=((2, 1), (2, 0))),
           root={"guestctl2": 0x01000000}),
    Vector("104 HC=0", "1", run("nop", root={"guestctl2": 0x400}, lines=((2, 1), (2, 0))), root={"guestctl2": 0x400}),
    Vector("105", "1", run("nop", D0 | 1 << 10, lines=((2, 1),)), gcp0={"cause": IP[2]}),
    Vector("106", "1", run(SPIN, D0 | 1 << 10, root={"status": KX | IE | IP[2]}, handler=MASKED, lines=((2, 1),)),
           (0, None), 0x188),
    Vector("107", "i", link("hypcall 7", handler=RETURN), (GE, HC), 0x198, gpr={"v1": 1}),
    Vector("108", "2", link("hypcall 7", handler=RETURN.replace("eret", "mtgc0 $zero, $17\neret")), (GE, HC), 0x19C,
           gpr={"v1": 0}),
    Vector("109", "2", link("eret", gcp0={"status": EXL, "epc": P + 8}), gpr={"v1": 0}),
]

HERE, THERE = 0x1234, 0x5678
"""What root's own page and the guest's page at the same address hold."""
ROOT_PAGE = 0x70000


def asid(root: int, entry: int) -> GuestRun:
    """A load under an ASID of root, from a page whose entry has another one or the same."""
    return access(LOAD, KSEG0 + DATA, root={"entryhi": root}, memory={DATA + GUEST_RAM: THERE},
                  tlb=(maps(physical(P), asid=root), maps(DATA, asid=entry)))


def directly(text: str, address: int = 0x4000, rid: int = ID) -> GuestRun:
    """Root's code in user mode, with GuestCtl0.DRG."""
    code = guest_lo(physical(P) + GUEST_RAM)
    return GuestRun(text + "\nsyscall 0", gpr={"a0": address}, entry=U,
                    root={"guestctl0": DIRECT, "guestctl1": rid << 16 | ID, "status": KX | KSU_USER},
                    memory={ROOT_PAGE: HERE, DATA + GUEST_RAM: THERE}, gtlb=(Entry(0x4000, guest_lo(DATA)),),
                    tlb=(Entry(U, code, tag=0), Entry(0x4000, guest_lo(ROOT_PAGE), tag=0), maps(DATA)))


DIRECT, DRG_MODEL, GVA_MODEL = D0 & ~GM | DRG, {"direct": True}, {"gva": True}
SYSCALL = (8, None)
KERNEL_LOAD = move("mtc0", "guestctl0", DIRECT) + "li $s1, 0x4000\nlw $s0, 0($s1)"
PROBE_ID = "{}mfc0 $s0, $10, 4\nmfc0 $s1, $12, 6\n{}".format(
    move("mtc0", "guestctl1", 0xFFFF_FFFF), move("mtc0", "guestctl1", ID << 16 | ID)
)

CHOICES = [
    Vector("89", "1", asid(5, 5), gpr={"v0": THERE}, model={"rad": True}),
    Vector("89 other", "1", asid(6, 5), (2, GPA), 0x080, epc=P, root={"badvaddr": DATA}, model={"rad": True}),
    Vector("89 ids", "2", run("nop", before=PROBE_ID), gpr={"s0": 0, "s1": 0x0C0C00FC | 1 << 9}, model={"rad": True}),
    Vector("90", "1", directly(LOAD), SYSCALL, gpr={"v0": THERE}, model=DRG_MODEL),
    Vector("90 store", "1", directly("sw $a0, 0($a0)\nlw $v0, 0($a0)"), SYSCALL, gpr={"v0": 0x4000}, model=DRG_MODEL),
    Vector("90 kernel", "1", run("nop", memory={ROOT_PAGE: HERE, DATA + GUEST_RAM: THERE}, before=KERNEL_LOAD,
           tlb=(Entry(0x4000, guest_lo(ROOT_PAGE), tag=0), maps(DATA)), gtlb=(Entry(0x4000, guest_lo(DATA)),)),
           gpr={"s0": HERE}, model=DRG_MODEL),
    Vector("90 RID=0", "2", directly(LOAD, rid=0), SYSCALL, gpr={"v0": HERE}, model=DRG_MODEL),
    Vector("90 absent", "2", directly(LOAD), SYSCALL, gpr={"v0": HERE}),
    Vector("90 guest's miss", "i", directly(LOAD, 0x6000), (2, GVA), 0x000, epc=U, root={"badvaddr": 0x6000},
           model=DRG_MODEL),
    Vector("90 root's miss", "i", directly(LOAD, KSEG0 + 0x6000), (2, GPA), 0x080, epc=U, root={"badvaddr": 0x6000},
           model=DRG_MODEL),
    Vector("67 GVA", "1", run("nop", entry=KSEG0 + 0x1000), (2, GVA), 0x080, epc=KSEG0 + 0x1000,
           root={"badvaddr": KSEG0 + 0x1000}, model=GVA_MODEL),
    Vector("74 GVA", "1", access(LOAD, 0x4004, gtlb=(Entry(0x4000, guest_lo(DATA)),)), (2, GVA), 0x080, epc=P,
           root={"badvaddr": 0x4004, "entryhi": 0x4000}, gcp0={"badvaddr": 0}, model=GVA_MODEL),
    Vector("74 GVA part", "1", access("lwl $v0, 3($a0)", 0x4000, gtlb=(Entry(0x4000, guest_lo(DATA)),)), (2, GVA),
           0x080, root={"badvaddr": 0x4003}, model=GVA_MODEL),
    Vector("76 GVA", "1", access(STORE, 0x4000, gtlb=(Entry(0x4000, guest_lo(DATA)),), tlb=(maps(DATA, V),)), (1, GVA),
           epc=P, root={"badvaddr": 0x4000}, model=GVA_MODEL),
    Vector("35 RI", "1", user("hypcall 0"), inside=(10, 0x180), gcp0={"epc": U}, model={"hypcall_ri": True}),
    Vector("KX", "i", status_write(KX), gcp0={"status": KX}),
    Vector("KX exits", "1", status_write(KX), (GE, GSFC), epc=P, gcp0={"status": 0}, model={"width_changes": True}),
    Vector("GuestID", "2", run("nop", before=PROBE_ID), gpr={"s0": 0x00FF_00FF}),
    Vector("GuestID of 3 bits", "2", run("nop", before=PROBE_ID), gpr={"s0": 0x0007_0007},
           model={"guest_id_bits": 3}),
]

NESTED = [
    Vector("NestedExc", "1", run("nop\nhypcall 5"), (GE, HC), epc=P + 4, root={"nestedexc": 0, "nestedepc": P + 4},
           gcp0={"nestedepc": 0}),
    Vector("NestedExc in EXL", "1", GuestRun("hypcall 5", handler=AGAIN.format("lw $v0, 0x7000($zero)")), (2, HC),
           0x18C, epc=P, root={"nestedexc": EXL, "nestedepc": RB + 0x188}),
    Vector("NestedExc of a guest", "1", access(LOAD, 0x4000, gcp0={"status": EXL, "epc": 0x1234}), inside=(2, 0x180),
           gcp0={"epc": 0x1234, "nestedexc": EXL, "nestedepc": P}),
    Vector("NestedExc is restored", "1", run("nop", before=move("mtgc0", "nestedexc", M64)), gcp0={"nestedexc": 6}),
    Vector("NestedEPC is written", "1", run("dmtc0 $a0, $14, 2\ndmtc0 $a0, $13, 5", gpr={"a0": 0x123456789}),
           gcp0={"nestedepc": 0x123456789, "nestedexc": 0}),
]
# fmt: on

VECTORS = (
    MODE + PERMISSION + FIELD_CHANGE + COPROCESSORS + TRANSLATION + TLB_INSTRUCTIONS + WALKER + TIMER_AND_LINKS
    + CHOICES + NESTED
)  # fmt: skip
