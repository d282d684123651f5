"""The stencils of this host as tables: compiled by LLVM, or from the disk cache.

LLVM leaves a relocation for every operand, immediate and jump of a stencil; here it becomes a hole: a row that says
which field of the micro-op, or which jump, goes where, and how it is written (stencil_layout.py).
"""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import dataclass, fields
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np

from cpu import state
from cpu.engine import cache
from cpu.engine import stencil_layout as e
from cpu.engine.known import Sum, Term
from cpu.engine.micro import OPS, MicroOp, written_gpr_fields
from cpu.engine.stencils import CP0_READS, HELD, JUMPS, SHARED, Shape, functions, module_text
from cpu.engine.threaded import host_code, simplify
from cpu.isa import Flow
from cpu.isa.errors import TableError
from cpu.isa.table import GPR_FIELDS

SOURCES = {name: getattr(e, name) for name in ("IP", "COUNT", "PC", "ENTRY", "VALUE", "CONSTANT", *JUMPS)}
# ELF relocation types of x86-64 (System V ABI, table 4.9).
RELOCATIONS = {1: e.ABS64, 2: e.REL32, 4: e.REL32, 10: e.ABS32, 11: e.ABS32, 14: e.ABS8}
HOLE = re.compile(r"(GPR|FPR)_\d+$|[UI]_\d+_\d+$|SUM_")


@dataclass
class Stencils:
    """The compiled stencils as arrays: bytes of `code` and of the `constants` it needs in memory, and rows of `ops`,
    `stencils` and `holes` as stencil_layout.py names them."""

    code: np.ndarray
    constants: np.ndarray
    ops: np.ndarray
    stencils: np.ndarray
    holes: np.ndarray
    compiled: bool = False


def kept_at() -> Path:
    """The file of this host's stencils; it is there once they have been compiled."""
    return host_code("stencils.npz", _features())


def _features() -> str:
    # Mask registers only lengthen scalar comparisons.
    given = llvm.get_host_cpu_features()
    return ",".join(f"{'+' if on and not n.startswith('avx512') else '-'}{n}" for n, on in sorted(given.items()))


def load() -> Stencils:
    """The stencils for this host, from the disk cache or compiled now."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    path, features = kept_at(), _features()
    found = cache.find(path)
    if found is not None:
        with np.load(io.BytesIO(found)) as kept:
            return Stencils(*(kept[f.name] for f in fields(Stencils) if f.name != "compiled"))
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, reloc="static", codemodel="small"
    )
    on = frozenset(word[1:] for word in features.split(",") if word.startswith("+"))
    held, direct, shapes, _ = functions(on)
    made = extract(_compile(held, direct, machine), shapes)
    packed = io.BytesIO()
    np.savez(packed, **{name: value for name, value in vars(made).items() if name != "compiled"})
    cache.keep(path, packed.getvalue())
    return made


def _compile(held: list[str], direct: list[str], machine: llvm.TargetMachine) -> bytes:
    """The object file of both kinds of stencils."""
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    module = llvm.parse_assembly(module_text(direct))
    builder.getModulePassManager().run(module, builder)
    # The many short ones leave little to do. What knows a branch's condition on its ways would put constants in place
    # of values that are passed on.
    short = llvm.parse_assembly(module_text(held))
    simplify(short, builder)
    module.link_in(short)
    return machine.emit_object(module)


def extract(elf: bytes, shapes: dict[int, Shape]) -> Stencils:
    """The stencils of an object file."""
    from elftools.elf.elffile import ELFFile

    file = ELFFile(io.BytesIO(elf))
    text = file.get_section_by_name(".text").data()
    symbols = list(file.get_section_by_name(".symtab").iter_symbols())
    places = {s.name: (s["st_value"], s["st_size"]) for s in symbols if s["st_info"]["type"] == "STT_FUNC"}
    constants, bases = _constants(file)
    relocations = []
    for r in file.get_section_by_name(".rela.text").iter_relocations():
        symbol, addend = symbols[r["r_info_sym"]], r["r_addend"]
        name = symbol.name
        if symbol["st_shndx"] in bases:
            name, addend = "CONSTANT", addend + bases[symbol["st_shndx"]] + symbol["st_value"]
        relocations.append((r["r_offset"], r["r_info_type"], name, addend))
    relocations.sort()
    starts = np.array([r[0] for r in relocations])
    unusable = {
        _function_at(places, at) for at, _, symbol, _ in relocations if symbol not in SOURCES and not HOLE.match(symbol)
    }
    shapes = {op: form for op, form in shapes.items() if f"s_{op}_0" not in unusable}
    code, holes, rows, ids = bytearray(), [], [[0] * e.STENCIL_FIELDS], {}
    order = [(name, name) for name in SHARED]
    for op, form in shapes.items():
        order += ((f"s_{op}_{k}", f"s_{op}_{original}") for k, original in enumerate(form.originals()))
    for name, original in order:
        ids[name] = len(rows)
        if original != name:
            rows.append(rows[ids[original]])
            continue
        at, size = places[name]
        first, last = np.searchsorted(starts, (at, at + size))
        mine = [(offset - at, *rest) for offset, *rest in relocations[first:last]]
        body = text[at : at + size]
        # The jump to what is placed next falls through instead.
        if mine and mine[-1][0] == size - 4 and body[size - 5] == 0xE9 and mine[-1][2] in ("NEXT", "FALL"):
            mine, body = mine[:-1], body[:-5]
        if sum(symbol in ("TARGET", "TAKEN") for _, _, symbol, _ in mine) > 1:
            raise TableError(f"stencil {name} has more than one jump that is aimed later")
        first_hole = len(holes)
        holes += itertools.chain.from_iterable(_holes(name, *entry) for entry in mine)
        rows.append([len(code), len(body), first_hole, len(holes) - first_hole])
        code += body + b"\x90" * (-len(body) % 8)
    ops = _op_rows(shapes, ids, rows, holes)
    return Stencils(
        np.frombuffer(bytes(code), np.uint8).copy(),
        np.frombuffer(constants, np.uint8).copy(),
        ops,
        np.array(rows, np.int64),
        np.array(holes, np.int64),
        True,
    )


def _constants(file) -> tuple[bytes, dict[int, int]]:
    """(all constants of an object file, where those of a section begin in them)."""
    data, bases = bytearray(), {}
    for number, section in enumerate(file.iter_sections()):
        if section.name.startswith(".rodata"):
            data += bytes(-len(data) % max(section["sh_addralign"], 16))
            bases[number] = len(data)
            data += section.data()
    return bytes(data), bases


def _function_at(places: dict[str, tuple[int, int]], at: int) -> str:
    """The function that needs what is no hole: one of the host's library."""
    return next(name for name, (start, size) in places.items() if start <= at < start + size)


def _holes(stencil: str, at: int, kind: int, symbol: str, addend: int) -> list[list[int]]:
    """The rows for what a relocation asks for."""
    form = RELOCATIONS.get(kind)
    if form is None:
        raise TableError(f"stencil {stencil}: relocation type {kind} of {symbol} has no meaning for a code buffer")
    if symbol in SOURCES:
        if (form == e.REL32) != (symbol in JUMPS or symbol == "CONSTANT"):
            raise TableError(f"stencil {stencil}: {symbol} in a relocation of type {kind}")
        return [[at, form, SOURCES[symbol], 0, 0, 0, addend]]
    if not HOLE.match(symbol) or form == e.REL32:
        raise TableError(f"stencil {stencil} needs {symbol}, which is no hole")
    name, *numbers = symbol.split("_")
    if name == "SUM":
        return _sum_rows(at, form, Sum.named(symbol).plus(addend))
    if name in ("U", "I"):
        return _sum_rows(at, form, Sum(addend, (Term(1, name, int(numbers[0]), int(numbers[1])),)))
    scale, base = (8 * state.FPR_STRIDE, 8 * state.FPR) if name == "FPR" else (8, 8 * state.GPR)
    return _sum_rows(at, form, Sum(addend + base, (Term(scale, "U", int(numbers[0]), 8),)))


def _sum_rows(at: int, form: int, value: Sum) -> list[list[int]]:
    """A row for each term of a sum; the constant goes with the first."""
    rows = []
    for term in value.terms or (Term(0, "U", 0, 8),):
        # Shifted up and down again; a signed field's copies of its sign come from its place in the micro-op.
        up, down = 64 - term.low - term.width, 64 - term.width
        how = {e.ABS8: e.MORE8, e.ABS32: e.MORE32}[form] if rows else form
        constant = 0 if rows else value.constant
        rows.append([at, how, e.FIELD, up, down if term.kind == "U" else -down, term.factor, constant])
    return rows


def _op_rows(shapes: dict[int, Shape], ids: dict[str, int], rows: list, holes: list) -> np.ndarray:
    ops = np.zeros((len(OPS), e.OP_FIELDS), np.int64)
    ops[:, (e.O_READ0, e.O_READ1, e.O_READ2, e.O_WRITE, e.O_CLOBBER)] = -1
    for op in OPS:
        row = ops[op.number]
        row[e.O_KIND], row[e.O_WORDS] = _kind(op)
        if op.number not in shapes:
            if row[e.O_KIND] not in (e.K_GOTO, e.K_FAR):
                row[e.O_KIND] = e.K_LEAVE
            continue
        form = shapes[op.number]
        row[e.O_STENCIL] = ids[f"s_{op.number}_0"]
        for k, low in enumerate(form.reads):
            row[e.O_READ0 + k] = low
        row[e.O_WRITE], row[e.O_SAME] = form.write, form.is_same
        if form.guard is not None:
            guard = _sum_rows(0, e.ABS32, form.guard)
            row[e.O_GUARD], row[e.O_GUARDS] = len(holes), len(guard)
            holes += guard
        if form.write < 0:
            row[e.O_CLOBBER] = next((s.low for s in op.slots if s.field.name in written_gpr_fields(op)), -1)
        if op.name not in HELD:
            row[e.O_CP0_READ] = CP0_READS.get(op.name, 0)
            row[e.O_DIRECT] = op.name == "set_target" or any(s.field.name in GPR_FIELDS for s in op.slots)
        if op.instruction is not None and op.instruction.unit is not None:
            row[e.O_UNIT] = {"fpu": e.CHECK_FPU, "msa": e.CHECK_MSA, "lasx": e.CHECK_LASX}[op.instruction.unit]
        _, _, first, count = rows[row[e.O_STENCIL]]
        row[e.O_COLD] = any(h[e.H_SOURCE] == e.COLD for h in holes[first : first + count]) or row[e.O_UNIT] != 0
    return ops


def _kind(op: MicroOp) -> tuple[int, int]:
    """(what a translation does at this operation, its length in words)."""
    internal = {
        "b_goto": (e.K_GOTO, 4), "b_far": (e.K_FAR, 3), "b_cond": (e.K_BRANCH, 6), "b_likely": (e.K_LIKELY, 4),
        "b_register": (e.K_REGISTER, 2), "b_target": (e.K_REGISTER, 2), "set_target": (e.K_STRAIGHT, 1),
        "set_link": (e.K_STRAIGHT, 2), "clear_sink": (e.K_STRAIGHT, 1),
    }  # fmt: skip
    if op.instruction is None:
        return internal.get(op.name, (e.K_LEAVE, 1))
    flow = op.instruction.flow
    if flow is Flow.PLAIN or op.variant == "test":
        return e.K_STRAIGHT, 1
    return {Flow.BRANCH: (e.K_BRANCH, 6), Flow.LIKELY: (e.K_LIKELY, 4)}.get(flow, (e.K_LEAVE, 1))
