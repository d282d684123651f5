"""The floating-point unit (COP1, COP1X): formats S, D, W and L; cpu/isa/paired_single.py has PS.

Source: MIPS Architecture For Programmers, volumes I-A and II (MD00083, MD00087); Loongson indexed forms: GNU binutils
opcodes (names). A 32-bit result leaves bits 63:32 of its register alone, as QEMU does. An enabled exception leaves the
destination and the Flags, and shows in Cause.

With Status.FR = 0 a register of 64 bits has an even number; an odd number names its upper half, for 32 bits. Each row
says which of its fields are `wide`; what the engine makes of that is in cpu/engine/decode.py. Formats L and PS are
reserved then (`fr1`), and so is an odd number in a wide field, where the manual has UNPREDICTABLE.
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.branches import condition_bit
from cpu.isa.memory import load_left, load_right, store_left, store_right
from cpu.isa.softfloat import DOWN, NEAREST, TOWARD_ZERO, UP, D, Format, S
from cpu.isa.table import FPR_FIELDS, insn

FIR = 0x00770501
FCSR_WRITABLE = 0xFF83FFFF
UNIMPLEMENTED = 1 << 17  # a Cause bit without an Enable bit: always enabled
CAUSE, ENABLES, FLAGS = 12, 7, 2  # positions of FCSR's fields of five bits
ROUNDING_MODE = 3

FMT = {S: "10000", D: "10001"}
FMT_W, FMT_L = "10100", "10101"
FMT3 = {S: "000", D: "001"}


def fpu_insn(syntax: str, pattern: str, timing: str | None = None, wide: tuple[str, ...] = (), **properties):
    return insn(syntax, pattern, unit="fpu", timing=timing, wide=wide, **properties)


def all_of(fmt: Format) -> tuple[str, ...]:
    """The wide fields of a row whose operands are all of one format."""
    return FPR_FIELDS if fmt.width == 64 else ()


def raise_flags(i, flags):
    """Puts the five exception flags of an operation into FCSR; an enabled one raises FPE."""
    enabled = (flags & (i.fcsr >> ENABLES)) != 0
    caused = i.fcsr.insert(CAUSE, 6, flags)
    i.fcsr = enabled.choose(caused, caused | (flags << FLAGS))
    i.trap("FPE", when=enabled)


def raise_nothing(i):
    """Does the same for an operation that has no exceptions."""
    i.fcsr = i.fcsr.insert(CAUSE, 6, 0)


def placed(old, fmt: Format, result):
    """`result` in a register that held `old`."""
    return old.insert(0, 32, result) if fmt.width == 32 else result


def _computation(
    name: str, syntax: str, pattern: str, width: int, operands: int, timing: str, compute: Callable, fr1: bool = False
) -> None:
    """An instruction with a result of `width` bits from `operands` bits; compute(i) gives (result, flags)."""
    wide = (("fd",) if width == 64 else ()) + (("fs", "ft", "fr") if operands == 64 else ())

    @fpu_insn(f"{name} {syntax}", pattern, timing, wide, fr1=fr1)
    def operation(i):
        result, flags = compute(i)
        raise_flags(i, flags)
        i.fd = i.fd.insert(0, 32, result) if width == 32 else result


def _binary(name: str, function: str, timing: str, compute: Callable) -> None:
    for fmt, code in FMT.items():
        _computation(
            f"{name}.{fmt.name}",
            "fd, fs, ft",
            f"010001 {code} ft:5 fs:5 fd:5 {function}",
            fmt.width,
            fmt.width,
            timing,
            lambda i, fmt=fmt: compute(i, fmt, i.fs, i.ft),
        )


def _unary(name: str, function: str, timing: str, compute: Callable) -> None:
    for fmt, code in FMT.items():
        _computation(
            f"{name}.{fmt.name}",
            "fd, fs",
            f"010001 {code} 00000 fs:5 fd:5 {function}",
            fmt.width,
            fmt.width,
            timing,
            lambda i, fmt=fmt: compute(i, fmt, i.fs),
        )


def reciprocal(i, fmt: Format, a, flags_before):
    result, flags = i.call(fmt.div, fmt.one, a, i.fcsr)
    return result, flags | flags_before


def reciprocal_root(i, fmt: Format, a):
    root, flags = i.call(fmt.sqrt, a, i.fcsr)
    return reciprocal(i, fmt, root, flags)


_binary("add", "000000", "fpu_add", lambda i, fmt, a, b: i.call(fmt.add, a, b, 0, i.fcsr))
_binary("sub", "000001", "fpu_add", lambda i, fmt, a, b: i.call(fmt.add, a, b, 1, i.fcsr))
_binary("mul", "000010", "fpu_multiply", lambda i, fmt, a, b: i.call(fmt.mul, a, b, i.fcsr))
_binary("div", "000011", "fpu_divide", lambda i, fmt, a, b: i.call(fmt.div, a, b, i.fcsr))
_unary("sqrt", "000100", "fpu_sqrt", lambda i, fmt, a: i.call(fmt.sqrt, a, i.fcsr))
_unary("recip", "010101", "fpu_divide", lambda i, fmt, a: reciprocal(i, fmt, a, 0))
_unary("rsqrt", "010110", "fpu_sqrt", reciprocal_root)


# Fused in name only: the product is rounded, then the sum.
def _multiply_add(name: str, function: str, subtract: int, negate: bool) -> None:
    for fmt, code in FMT3.items():

        def compute(i, fmt=fmt):
            product, flags = i.call(fmt.mul, i.fs, i.ft, i.fcsr)
            total, more = i.call(fmt.add, product, i.fr, subtract, i.fcsr)
            return total ^ (fmt.sign_bit if negate else 0), flags | more

        _computation(
            f"{name}.{fmt.name}",
            "fd, fr, fs, ft",
            f"010011 fr:5 ft:5 fs:5 fd:5 {function} {code}",
            fmt.width,
            fmt.width,
            "fpu_multiply",
            compute,
        )


_multiply_add("madd", "100", 0, False)
_multiply_add("msub", "101", 1, False)
_multiply_add("nmadd", "110", 0, True)
_multiply_add("nmsub", "111", 1, True)


# Conversions
def _to_integer(name: str, function: str, width: int, mode: int | None) -> None:
    for fmt, code in FMT.items():

        def compute(i, fmt=fmt):
            return i.call(fmt.to_integer, i.fs, i.fcsr & ROUNDING_MODE if mode is None else mode, width)

        pattern = f"010001 {code} 00000 fs:5 fd:5 {function}"
        _computation(f"{name}.{fmt.name}", "fd, fs", pattern, width, fmt.width, "fpu_convert", compute, width == 64)


for _name, _mode, _function in (
    ("round", NEAREST, "00"),
    ("trunc", TOWARD_ZERO, "01"),
    ("ceil", UP, "10"),
    ("floor", DOWN, "11"),
):
    _to_integer(f"{_name}.l", "0010" + _function, 64, _mode)
    _to_integer(f"{_name}.w", "0011" + _function, 32, _mode)
_to_integer("cvt.w", "100100", 32, None)
_to_integer("cvt.l", "100101", 64, None)


def _convert(fmt: Format, source: str, source_code: str, function: str, compute: Callable) -> None:
    pattern = f"010001 {source_code} 00000 fs:5 fd:5 {function}"
    operands = 64 if source in ("d", "l") else 32
    name = f"cvt.{fmt.name}.{source}"
    _computation(name, "fd, fs", pattern, fmt.width, operands, "fpu_convert", compute, source == "l")


_convert(S, "d", FMT[D], "100000", lambda i: i.call(S.from_other, i.fs, i.fcsr))
_convert(S, "w", FMT_W, "100000", lambda i: i.call(S.from_integer, i.fs.word, i.fcsr))
_convert(S, "l", FMT_L, "100000", lambda i: i.call(S.from_integer, i.fs, i.fcsr))
_convert(D, "s", FMT[S], "100001", lambda i: i.call(D.from_other, i.fs, i.fcsr))
_convert(D, "w", FMT_W, "100001", lambda i: i.call(D.from_integer, i.fs.word, i.fcsr))
_convert(D, "l", FMT_L, "100001", lambda i: i.call(D.from_integer, i.fs, i.fcsr))

# Comparisons. Bits of the condition: 0 unordered, 1 equal, 2 less; 3: quiet NaNs signal.
CONDITIONS = (
    "f", "un", "eq", "ueq", "olt", "ult", "ole", "ule", "sf", "ngle", "seq", "ngl", "lt", "nge", "le", "ngt",
)  # fmt: skip


def condition_position(i):
    """FCSR condition code cc: bit 23 for 0, bits 25 to 31 for 1 to 7."""
    return i.cc + (i.cc != 0).value + 23


def _compare(fmt: Format, condition: int) -> None:
    @fpu_insn(
        f"c.{CONDITIONS[condition]}.{fmt.name} cc, fs, ft",
        f"010001 {FMT[fmt]} ft:5 fs:5 cc:3 00 11 {condition:04b}",
        "fpu_add",
        all_of(fmt),
    )
    def compare(i):
        relation, flags = i.call(fmt.compare, i.fs, i.ft, condition >> 3)
        raise_flags(i, flags)
        position = condition_position(i)
        holds = ((relation & condition & 7) != 0).value
        i.fcsr = (i.fcsr & ~(i.const(1) << position)) | (holds << position)


# Moves within the unit. Signs are bits here: no NaN signals, FCSR stays as it is.
def _move(name: str, function: str, compute: Callable) -> None:
    for fmt, code in FMT.items():

        @fpu_insn(f"{name}.{fmt.name} fd, fs", f"010001 {code} 00000 fs:5 fd:5 {function}", wide=all_of(fmt))
        def move(i, fmt=fmt):
            i.fd = placed(i.fd, fmt, compute(fmt, i.fs))


_move("abs", "000101", lambda fmt, a: a & ~fmt.sign_bit)
_move("mov", "000110", lambda fmt, a: a)
_move("neg", "000111", lambda fmt, a: a ^ fmt.sign_bit)


def _move_if(name: str, syntax: str, field: str, function: str, condition: Callable) -> None:
    for fmt, code in FMT.items():
        pattern = f"010001 {code} {field} fs:5 fd:5 {function}"

        @fpu_insn(f"{name}.{fmt.name} fd, fs, {syntax}", pattern, wide=all_of(fmt))
        def move(i, fmt=fmt):
            i.fd = condition(i).choose(placed(i.fd, fmt, i.fs), i.fd)


_move_if("movf", "cc", "cc:3 00", "010001", lambda i: condition_bit(i) == 0)
_move_if("movt", "cc", "cc:3 01", "010001", lambda i: condition_bit(i) != 0)
_move_if("movz", "rt", "rt:5", "010010", lambda i: i.rt == 0)
_move_if("movn", "rt", "rt:5", "010011", lambda i: i.rt != 0)


@fpu_insn("movf rd, rs, cc", "000000 rs:5 cc:3 00 rd:5 00000 000001")
def movf(i):
    i.rd = (condition_bit(i) == 0).choose(i.rs, i.rd)


@fpu_insn("movt rd, rs, cc", "000000 rs:5 cc:3 01 rd:5 00000 000001")
def movt(i):
    i.rd = (condition_bit(i) != 0).choose(i.rs, i.rd)


# Moves from and to general registers
@fpu_insn("mfc1 rt, fs", "010001 00000 rt:5 fs:5 00000000000")
def mfc1(i):
    i.rt = i.fs.word


@fpu_insn("dmfc1 rt, fs", "010001 00001 rt:5 fs:5 00000000000", wide=FPR_FIELDS, op64=True)
def dmfc1(i):
    i.rt = i.fs


@fpu_insn("mfhc1 rt, fs", "010001 00011 rt:5 fs:5 00000000000", wide=FPR_FIELDS)
def mfhc1(i):
    i.rt = (i.fs >> 32).word


@fpu_insn("mtc1 rt, fs", "010001 00100 rt:5 fs:5 00000000000")
def mtc1(i):
    i.fs = i.fs.insert(0, 32, i.rt)


@fpu_insn("dmtc1 rt, fs", "010001 00101 rt:5 fs:5 00000000000", wide=FPR_FIELDS, op64=True)
def dmtc1(i):
    i.fs = i.rt


@fpu_insn("mthc1 rt, fs", "010001 00111 rt:5 fs:5 00000000000", wide=FPR_FIELDS)
def mthc1(i):
    i.fs = i.fs.insert(32, 32, i.rt)


# Control registers: FIR 0, FCCR 25, FEXR 26, FENR 28, FCSR 31. QEMU's other registers, followed here: 1 (UFR) and 5
# read 0, the rest read as FCSR; writes are ignored.
FEXR_BITS = 0x0003F07C
FENR_BITS = 0x00000F83  # and FS, bit 24 of FCSR, in bit 2


@fpu_insn("cfc1 rt, fcr", "010001 00010 rt:5 fcr:5 00000000000")
def cfc1(i):
    value = ((i.fcr == 1) | (i.fcr == 5)).choose(0, i.fcsr.word)
    value = (i.fcr == 0).choose(FIR, value)
    value = (i.fcr == 25).choose(i.fcsr.bits(24, 8) & 0xFE | i.fcsr.bits(23, 1), value)
    value = (i.fcr == 26).choose(i.fcsr & FEXR_BITS, value)
    i.rt = (i.fcr == 28).choose(i.fcsr & FENR_BITS | i.fcsr.bits(24, 1) << 2, value)


@fpu_insn("ctc1 rt, fcr", "010001 00110 rt:5 fcr:5 00000000000")
def ctc1(i):
    """A Cause bit written with its Enable bit set raises FPE, with FCSR written."""
    old, new = i.fcsr, i.rt.uword
    codes = old & 0x017FFFFF | (new & 0xFE) << 24 | (new & 1) << 23
    value = (i.fcr == 31).choose(new & FCSR_WRITABLE | old & ~FCSR_WRITABLE, old)
    value = ((i.fcr == 25) & ((new & 0xFFFFFF00) == 0)).choose(codes, value)
    value = ((i.fcr == 26) & ((new & 0x007C0000) == 0)).choose(old & ~FEXR_BITS | new & FEXR_BITS, value)
    enables = old & ~(FENR_BITS | 1 << 24) | new & FENR_BITS | new.bits(2, 1) << 24
    value = ((i.fcr == 28) & ((new & 0x007C0000) == 0)).choose(enables, value)
    i.fcsr = value
    caused = value.bits(CAUSE, 5) & value.bits(ENABLES, 5) | value & UNIMPLEMENTED
    i.trap("FPE", when=caused != 0)


# Loads and stores
WITHOUT_ALIGNMENT = ("luxc1", "suxc1")


def _load(name: str, syntax: str, pattern: str, fd: str, size: int, address: Callable) -> None:
    @fpu_insn(f"{name} {fd}, {syntax}", pattern, wide=FPR_FIELDS if size == 8 else (), fr1=name in WITHOUT_ALIGNMENT)
    def load(i):
        loaded = i.load(address(i), size, signed=False)
        setattr(i, fd, getattr(i, fd).insert(0, 32, loaded) if size == 4 else loaded)


def _store(name: str, syntax: str, pattern: str, fs: str, size: int, address: Callable) -> None:
    @fpu_insn(f"{name} {fs}, {syntax}", pattern, wide=FPR_FIELDS if size == 8 else (), fr1=name in WITHOUT_ALIGNMENT)
    def store(i):
        i.store(address(i), size, getattr(i, fs))


def _at_offset(i):
    return i.base + i.offset


def _at_index(i):
    return i.base + i.index


def _at_aligned_index(i):
    return _at_index(i) & -8


def _at_index_and_offset(i):
    return i.base + i.index + i.off8


for _name, _opcode, _size in (("lwc1", "110001", 4), ("ldc1", "110101", 8)):
    _load(_name, "offset(base)", f"{_opcode} base:5 ft:5 offset:s16", "ft", _size, _at_offset)
for _name, _opcode, _size in (("swc1", "111001", 4), ("sdc1", "111101", 8)):
    _store(_name, "offset(base)", f"{_opcode} base:5 ft:5 offset:s16", "ft", _size, _at_offset)
for _name, _function, _size, _address in (
    ("lwxc1", "000000", 4, _at_index),
    ("ldxc1", "000001", 8, _at_index),
    ("luxc1", "000101", 8, _at_aligned_index),
):
    _load(_name, "index(base)", f"010011 base:5 index:5 00000 fd:5 {_function}", "fd", _size, _address)
for _name, _function, _size, _address in (
    ("swxc1", "001000", 4, _at_index),
    ("sdxc1", "001001", 8, _at_index),
    ("suxc1", "001101", 8, _at_aligned_index),
):
    _store(_name, "index(base)", f"010011 base:5 index:5 fs:5 00000 {_function}", "fs", _size, _address)
for _name, _function, _size in (("gslwxc1", "110", 4), ("gsldxc1", "111", 8)):
    _pattern = f"110110 base:5 ft:5 index:5 off8:s8 {_function}"
    _load(_name, "off8(base,index)", _pattern, "ft", _size, _at_index_and_offset)
for _name, _function, _size in (("gsswxc1", "110", 4), ("gssdxc1", "111", 8)):
    _pattern = f"111110 base:5 ft:5 index:5 off8:s8 {_function}"
    _store(_name, "off8(base,index)", _pattern, "ft", _size, _at_index_and_offset)

for _fmt in FMT:
    for _condition in range(16):
        _compare(_fmt, _condition)

# Left and right parts of a register, or of its lower half.
for _size, _letter, _bit in ((4, "w", 0), (8, "d", 1)):
    for _side, _side_bit, _loaded, _stored in (("l", 0, load_left, store_left), ("r", 1, load_right, store_right)):
        _rest = f"base:5 ft:5 00 off8:s8 0001{_bit}{_side_bit}"

        _wide = FPR_FIELDS if _size == 8 else ()

        @fpu_insn(f"gsl{_letter}{_side}c1 ft, off8(base)", f"110010 {_rest}", wide=_wide)
        def _load_part(i, size=_size, part=_loaded):
            merged = part(i, i.base + i.off8, i.ft, size)
            i.ft = i.ft.insert(0, 32, merged) if size == 4 else merged

        @fpu_insn(f"gss{_letter}{_side}c1 ft, off8(base)", f"111010 {_rest}", wide=_wide)
        def _store_part(i, size=_size, part=_stored):
            part(i, i.base + i.off8, i.ft, size)
