"""Tier T: a tail-call threaded interpreter, generated as LLVM IR from the instruction table.

Each micro-op has a handler; it does its work on the state array and jumps to the next handler through a table
(`musttail`, no frame). A handler that cannot go on fills the exit record of cpu/state.py and returns to the run loop
(cpu/engine/loop.py). A load or store has a second handler, for the slow path: it uses the host address the loop puts
into SLOW_POINTER instead of the soft-MMU.

Arguments of a handler: the state array S, the micro-op's address, n (the budget at the start of the block, see
cpu/engine/budget.py), the soft-MMU table TB of the current context, the handler table, the micro-op itself.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import llvmlite.binding as llvm

from cpu import state
from cpu.engine import cache
from cpu.engine.micro import (
    OP,
    OPS,
    R_HELPER,
    R_HOT,
    R_LINK,
    R_MEMORY,
    R_STOP,
    R_STORED,
    R_TRAP,
    R_UNIT,
    UNIT_ENABLES,
    MicroOp,
)
from cpu.engine.shared import FAR_LINK
from cpu.engine.softmmu_layout import JUMP_CACHE_MASK, JUMP_CACHE_OFFSET, TABLE_MASK, WRITE_OFFSET
from cpu.isa import Flow
from cpu.isa.errors import TableError
from cpu.isa.ir import DECLARATIONS, Emitter, Frame, IrOperands, Routines

ARGUMENTS = "ptr %S, ptr %ip, i64 %n, ptr %TB, ptr %HT, i64 %w"
PAGE = ~0xFFF
X86_64 = platform.machine().lower() in ("x86_64", "amd64")
MXCSR_DEFAULT, MXCSR_FLAGS = 0x1F80, 0x3F

# ghccc keeps all six arguments in registers and saves none, which is what a chain of tail calls wants.
CONVENTION = "ghccc" if X86_64 or platform.machine().lower() in ("aarch64", "arm64") else "tailcc"
MXCSR = "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)" if X86_64 else ""

# On x86-64 ghccc passes an argument in rbp, which a function that realigns its stack for wide vectors overwrites.
ATTRIBUTES = 'nounwind "no-realign-stack"'


class Handler(Frame):
    """One handler under construction; also the frame of its meaning."""

    def __init__(self, op: MicroOp, slow: bool = False):
        self.op = op
        self.slow = slow
        self.out = Emitter()
        self.exits: list[tuple[str, list[tuple[int, str]]]] = []

    # The frame: where operands are, how control leaves.
    def field(self, name: str) -> str:
        slot = next((s for s in self.op.slots if s.field.name == name), None)
        if slot is None:
            raise TableError(f"{self.op.name}: field {name} has no place in its micro-op")
        if slot.signed:
            up = 64 - slot.low - slot.width
            raised = self.out.op(f"shl i64 %w, {up}") if up else "%w"
            return self.out.op(f"ashr i64 {raised}, {64 - slot.width}")
        down = self.out.op(f"lshr i64 %w, {slot.low}")
        return self.out.op(f"and i64 {down}, {(1 << slot.width) - 1}") if slot.low + slot.width < 64 else down

    def read(self, name: str) -> str:
        if not self.is_half(name):
            return super().read(name)
        pointer, shift = self.half(name)
        return self.out.op(f"lshr i64 {self.out.load(pointer)}, {shift}")

    def write(self, name: str, value: str) -> None:
        if not self.is_half(name):
            super().write(name, value)
            return
        out = self.out
        pointer, shift = self.half(name)
        kept = out.op(f"and i64 {out.load(pointer)}, {out.op(f'lshr i64 -4294967296, {shift}')}")
        placed = out.op(f"shl i64 {out.op(f'and i64 {value}, 4294967295')}, {shift}")
        out.do(f"store i64 {out.op(f'or i64 {kept}, {placed}')}, ptr {pointer}, align 8")

    def is_half(self, name: str) -> bool:
        """Whether an operand is 32 bits of a register that the parity of its number chooses."""
        return self.op.variant == "odd" and name in {f.name for f in self.op.instruction.narrow}

    def half(self, name: str) -> tuple[str, str]:
        """Pointer to the register, and where in it the half begins."""
        out, number = self.out, self.field(name)
        offset = out.op(f"mul i64 {out.op(f'and i64 {number}, 30')}, {state.FPR_STRIDE}")
        shift = out.op(f"shl i64 {out.op(f'and i64 {number}, 1')}, 5")
        return out.slot(out.op(f"add i64 {offset}, {state.FPR}")), shift

    def trap(self, condition: str, code: int, coprocessor: int) -> None:
        label = self.leave(R_TRAP, [(state.EXIT_CODE, str(code))])
        if condition == "true":
            after = self.out.fresh("dead")
            self.out.do(f"br label %{label}")
            self.out.label(after)
        else:
            self.out.unlikely(condition, label)

    def pointer(self, ea: str, size: int, bad: str, access: str, aligned: bool) -> str:
        out = self.out
        if self.slow:
            return out.op(f"inttoptr i64 {out.load_slot(state.SLOW_POINTER)} to ptr")
        offset = out.op(f"and i64 {out.op(f'lshr i64 {ea}, 8')}, {TABLE_MASK << 4}")
        if access != "load":
            offset = out.op(f"add i64 {offset}, {WRITE_OFFSET}")
        entry = out.op(f"getelementptr i8, ptr %TB, i64 {offset}")
        tag = out.load(entry)
        addend = out.load(out.op(f"getelementptr i64, ptr {entry}, i64 1"))
        page = out.op(f"and i64 {ea}, {PAGE | (size - 1)}")
        label = self.leave(R_MEMORY, [(state.EXIT_VA, bad), (state.EXIT_EA, ea)])
        out.unlikely(out.op(f"icmp ne i64 {tag}, {page}"), label)
        return out.op(f"inttoptr i64 {out.op(f'add i64 {ea}, {addend}')} to ptr")

    def leave(self, reason: int, slots: list[tuple[int, str]] = ()) -> str:
        """Label of an exit that records `slots` and returns to the loop; emitted after the body."""
        label = self.out.fresh("leave")
        self.exits.append((label, [(state.EXIT_REASON, str(reason)), *slots]))
        return label

    def leave_now(self, reason: int, slots: list[tuple[int, str]] = (), n: str = "%n") -> None:
        out = self.out
        for slot, value in [(state.EXIT_REASON, str(reason)), (state.EXIT_N, n), *slots]:
            out.store_slot(slot, value)
        out.store_slot(state.EXIT_IP, out.op("ptrtoint ptr %ip to i64"))
        out.do("ret void")

    # Going on.
    def dispatch(self, ip: str, n: str = "%n") -> None:
        out = self.out
        word = out.load(ip)
        number = out.op(f"and i64 {word}, 65535")
        handler = out.op(f"load ptr, ptr {out.op(f'getelementptr ptr, ptr %HT, i64 {number}')}, align 8")
        out.do(f"musttail call {CONVENTION} void {handler}(ptr %S, ptr {ip}, i64 {n}, ptr %TB, ptr %HT, i64 {word})")
        out.do("ret void")

    def next(self, words: int = 1) -> None:
        self.dispatch(self.out.op(f"getelementptr i64, ptr %ip, i64 {words}"))

    def word_at(self, index: int) -> str:
        return self.out.load(self.out.op(f"getelementptr i64, ptr %ip, i64 {index}"))

    def go_linked(self, index: int, n: str) -> None:
        """To the block whose pc is word `index` and whose link is the word after it; a target in another page is left
        to the jump cache, which remapping and dropping keep right."""
        out = self.out
        address = out.op(f"getelementptr i64, ptr %ip, i64 {index + 1}")
        link = out.load(address)
        ready = out.op(f"icmp ugt i64 {link}, {FAR_LINK}")
        budget = out.op(f"icmp sgt i64 {n}, 0")
        both = out.op(f"and i1 {ready}, {budget}")
        go, quit_ = out.fresh("go"), out.fresh("quit")
        out.do(f"br i1 {out.op(f'call i1 @llvm.expect.i1(i1 {both}, i1 true)')}, label %{go}, label %{quit_}")
        out.label(go)
        self.dispatch(out.op(f"inttoptr i64 {link} to ptr"), n)
        out.label(quit_)
        far, unlinked = out.fresh("far"), out.fresh("unlinked")
        out.do(f"br i1 {out.op(f'icmp eq i64 {link}, {FAR_LINK}')}, label %{far}, label %{unlinked}")
        out.label(far)
        self.go_far(self.word_at(index), n)
        out.label(unlinked)
        slot = out.op(f"ptrtoint ptr {address} to i64")
        self.leave_now(R_LINK, [(state.PC, self.word_at(index)), (state.EXIT_CODE, slot)], n)

    def go_far(self, pc: str, n: str) -> None:
        """To the block at virtual address `pc`, through the jump cache."""
        out = self.out
        offset = out.op(f"and i64 {out.op(f'shl i64 {pc}, 2')}, {JUMP_CACHE_MASK << 4}")
        offset = out.op(f"add i64 {offset}, {JUMP_CACHE_OFFSET}")
        entry = out.op(f"getelementptr i8, ptr %TB, i64 {offset}")
        hit = out.op(f"icmp eq i64 {out.load(entry)}, {pc}")
        budget = out.op(f"icmp sgt i64 {n}, 0")
        both = out.op(f"and i1 {hit}, {budget}")
        go, quit_ = out.fresh("go"), out.fresh("quit")
        out.do(f"br i1 {out.op(f'call i1 @llvm.expect.i1(i1 {both}, i1 true)')}, label %{go}, label %{quit_}")
        out.label(go)
        target = out.load(out.op(f"getelementptr i64, ptr {entry}, i64 1"))
        self.dispatch(out.op(f"inttoptr i64 {target} to ptr"), n)
        out.label(quit_)
        self.leave_now(R_LINK, [(state.PC, pc), (state.EXIT_CODE, "0")], n)

    def branch(self, condition: str) -> None:
        """[op][pc][link][fall pc][fall link][charge]"""
        out = self.out
        n = out.op(f"sub i64 %n, {self.word_at(5)}")
        taken, fall = out.fresh("taken"), out.fresh("fall")
        out.do(f"br i1 {condition}, label %{taken}, label %{fall}")
        out.label(taken)
        self.go_linked(1, n)
        out.label(fall)
        self.go_linked(3, n)

    def likely(self, condition: str) -> None:
        """[op][fall pc][fall link][charge without the delay slot]"""
        out = self.out
        go, fall = out.fresh("taken"), out.fresh("fall")
        out.do(f"br i1 {condition}, label %{go}, label %{fall}")
        out.label(fall)
        self.go_linked(1, out.op(f"sub i64 %n, {self.word_at(3)}"))
        out.label(go)
        self.next(4)

    # Bodies.
    def internal(self) -> None:
        out, name = self.out, self.op.name
        a = lambda: out.op(f"and i64 {out.op('lshr i64 %w, 16')}, 255")  # noqa: E731
        b = lambda: out.op(f"and i64 {out.op('lshr i64 %w, 24')}, 255")  # noqa: E731
        if name == "b_goto":
            self.go_linked(1, out.op(f"sub i64 %n, {self.word_at(3)}"))
        elif name == "b_far":
            self.go_far(self.word_at(1), out.op(f"sub i64 %n, {self.word_at(2)}"))
        elif name == "b_cond":
            self.branch(out.op(f"icmp ne i64 {out.load_slot(state.COND)}, 0"))
        elif name == "b_likely":
            self.likely(out.op(f"icmp ne i64 {out.load_slot(state.COND)}, 0"))
        elif name == "b_register":
            self.go_far(out.load_slot(b()), out.op(f"sub i64 %n, {self.word_at(1)}"))
        elif name == "b_target":
            self.go_far(out.load_slot(state.TARGET), out.op(f"sub i64 %n, {self.word_at(1)}"))
        elif name == "set_target":
            out.store_slot(state.TARGET, out.load_slot(b()))
            self.next()
        elif name == "set_link":
            out.store_slot(a(), self.word_at(1))
            self.next(2)
        elif name == "clear_sink":
            out.store_slot(state.SINK, 0)
            self.next()
        elif name == "b_count":
            out.unlikely(out.op("icmp ult i64 %w, 65536"), self.leave(R_HOT))
            out.do(f"store i64 {out.op('sub i64 %w, 65536')}, ptr %ip, align 8")
            self.next()
        elif name == "b_native":
            code = out.op(f"inttoptr i64 {out.op('lshr i64 %w, 16')} to ptr")
            out.do(f"musttail call {CONVENTION} void {code}({ARGUMENTS})")
            out.do("ret void")
        elif name == "b_stop":
            self.leave_now(R_STOP, [(state.PC, self.word_at(1))], out.op(f"sub i64 %n, {self.word_at(2)}"))
        elif name in ("reserved", "none"):
            self.leave_now(R_TRAP, [(state.EXIT_CODE, "10")])
        else:
            raise TableError(f"internal operation {name} has no handler")

    def check_unit(self) -> None:
        unit, out = self.op.instruction.unit, self.out
        if unit is not None:
            have = out.op(f"and i64 {out.load_slot(state.UNITS)}, {UNIT_ENABLES[unit]}")
            out.unlikely(out.op(f"icmp eq i64 {have}, 0"), self.leave(R_UNIT))

    def instruction(self, routines: Routines) -> None:
        out, op = self.out, self.op
        entry = op.instruction
        self.check_unit()
        if entry.helper:
            self.leave_now(R_HELPER)
            return
        operands = IrOperands(out, routines, self, tuple(f.name for f in entry.fields))
        result = entry.meaning(operands)
        if op.variant == "test":
            out.store_slot(state.COND, out.op(f"zext i1 {result.ssa} to i64"))
            self.next()
        elif entry.flow is Flow.BRANCH:
            self.branch(result.ssa)
        elif entry.flow is Flow.LIKELY:
            self.likely(result.ssa)
        elif entry.flow is Flow.TRAP:
            out.do("unreachable")
        elif self.slow and op.access[0] != "load":
            self.leave_now(R_STORED)
        else:
            self.next()

    def text(self, routines: Routines) -> str:
        if self.op.instruction is None:
            self.internal()
        else:
            self.instruction(routines)
        for label, slots in self.exits:
            self.out.label(label)
            for slot, value in slots:
                self.out.store_slot(slot, value)
            self.out.store_slot(state.EXIT_N, "%n")
            self.out.store_slot(state.EXIT_IP, self.out.op("ptrtoint ptr %ip to i64"))
            self.out.do("ret void")
        body = "\n".join(self.out.lines)
        return f"define internal {CONVENTION} void @{self.symbol}({ARGUMENTS}) {ATTRIBUTES} {{\nentry:\n{body}\n}}"

    @property
    def symbol(self) -> str:
        return f"{'slow' if self.slow else 'op'}_{self.op.number}"


def prepare() -> str:
    """The entry point `prepare`, for once a run: it takes too long for every turn of a core."""
    body = default_environment() if X86_64 else ""
    return f"define i64 @prepare(i64, i64, i64, i64, i64) nounwind {{\n{body}  ret i64 0\n}}"


def default_environment() -> str:
    """On x86-64: the floating-point environment that tier E's code counts on and leaves alone. The host's default; a
    library of the process may have changed it."""
    return (
        "  %m = alloca i32\n  call void @llvm.x86.sse.stmxcsr(ptr %m)\n  %was = load i32, ptr %m\n"
        f"  %modes = and i32 %was, {~MXCSR_FLAGS}\n  %usual = icmp eq i32 %modes, {MXCSR_DEFAULT}\n"
        "  br i1 %usual, label %ready, label %set\nset:\n"
        f"  store i32 {MXCSR_DEFAULT}, ptr %m\n  call void @llvm.x86.sse.ldmxcsr(ptr %m)\n  br label %ready\nready:\n"
    )


def module_text() -> str:
    """LLVM IR of the whole tier: handlers, their table, and the entry points `prepare`, `enter` and `enter_slow`."""
    routines = Routines()
    handlers, symbols, slow_symbols = [], [], []
    helper_symbol = None
    for op in OPS:
        if op.variant == "plain":
            symbols.append("null")
            slow_symbols.append("null")
            continue
        shared = op.instruction is not None and op.instruction.helper and not op.instruction.unit
        if shared and helper_symbol:
            symbols.append(helper_symbol)
            slow_symbols.append("null")
            continue
        handler = Handler(op)
        handlers.append(handler.text(routines))
        symbols.append("@" + handler.symbol)
        if shared:
            helper_symbol = symbols[-1]
        if op.access:
            slow = Handler(op, slow=True)
            handlers.append(slow.text(routines))
            slow_symbols.append("@" + slow.symbol)
        else:
            slow_symbols.append("null")

    def table(name: str, entries: list[str]) -> str:
        return f"@{name} = internal constant [{len(OPS)} x ptr] [" + ", ".join(f"ptr {e}" for e in entries) + "]"

    def entry(name: str, first: str) -> str:
        return (
            f"define i64 @{name}(ptr %S, i64 %ipi, i64 %n, ptr %TB, i64 %unused) nounwind {{\n"
            "  %ip = inttoptr i64 %ipi to ptr\n  %w = load i64, ptr %ip\n  %op = and i64 %w, 65535\n"
            f"  %slot = getelementptr ptr, ptr @{first}, i64 %op\n  %handler = load ptr, ptr %slot\n"
            "  %address = lshr i64 %w, 16\n  %code = inttoptr i64 %address to ptr\n"
            f"  %translated = icmp eq i64 %op, {OP['b_native']}\n"
            "  %h = select i1 %translated, ptr %code, ptr %handler\n"
            f"  call {CONVENTION} void %h(ptr %S, ptr %ip, i64 %n, ptr %TB, ptr @HT, i64 %w)\n"
            f"  %rp = getelementptr i64, ptr %S, i64 {state.EXIT_REASON}\n  %r = load i64, ptr %rp\n  ret i64 %r\n}}"
        )

    return "\n".join(
        [
            DECLARATIONS,
            MXCSR,
            routines.text,
            *handlers,
            table("HT", symbols),
            table("HTSLOW", slow_symbols),
            prepare(),
            entry("enter", "HT"),
            entry("enter_slow", "HTSLOW"),
        ]
    )


def host_code(file: str, features: str) -> Path:
    """Where code that LLVM made for this processor with these `features` is kept, by the name of its `file`."""
    key_text = f"{llvm.get_host_cpu_name()} {features} {llvm.llvm_version_info}"
    name, suffix = file.split(".")
    return cache.directory() / f"{name}-{hashlib.sha256(key_text.encode()).hexdigest()[:24]}.{suffix}"


def kept_at() -> Path:
    """The file of the tier's object code; it is there once that has been compiled."""
    return host_code("threaded.o", _features())


def _features() -> str:
    return llvm.get_host_cpu_features().flatten()


def simplify(module: llvm.ModuleRef, builder: llvm.PassBuilder) -> None:
    """The two passes that find something to do in many short functions without loops."""
    passes = llvm.create_new_module_pass_manager()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, builder)


class Threaded:
    """The compiled tier. `prepare`, `enter` and `enter_slow` are host addresses; the object code is cached on disk."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=_features(), opt=2, jit=True
        )
        path = kept_at()
        cached = cache.find(path)
        self.compiled = cached is None
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine)
        if cached is None:
            cached = self._compile()
            cache.keep(path, cached)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(cached))
        self._engine.finalize_object()
        self.prepare = self._engine.get_function_address("prepare")
        self.enter = self._engine.get_function_address("enter")
        self.enter_slow = self._engine.get_function_address("enter_slow")

    def _compile(self) -> bytes:
        module = llvm.parse_assembly(module_text())
        simplify(module, llvm.create_pass_builder(self._machine, llvm.create_pipeline_tuning_options()))
        return self._machine.emit_object(module)
