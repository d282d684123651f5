"""What a guest exit (ExcCode 27) leads to: GPSI, GSFC, HC and the rest.

Source: Linux 6.1: arch/mips/kvm/vz.c, kvm_trap_vz_handle_guest_exit and what it calls. An instruction that KVM does not
emulate ends KVM_RUN with INTERNAL_ERROR.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu.cp0.fields import (
    CAUSE_DC,
    CAUSE_IP,
    CAUSE_IV,
    CAUSE_WP,
    DIAG_FTLB,
    DIAG_VTLB,
    HWR_CC,
    ST_CU1,
    ST_ERL,
    ST_EXL,
    ST_FR,
    ST_IE,
)
from cpu.kvm import fpu, hypcall, inst, tlb, trace
from cpu.kvm.callback import Resume
from cpu.kvm.errors import KvmError
from cpu.kvm.vz_timer import HardTimer
from cpu.vz.guestctl import GHFC, GPA, GPSI, GRR, GSFC, GVA, HC
from cpu.vz.short_exit import CACHE, cache_comes_to_nothing
from cpu.words import signed

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

NAMES = {GPSI: "gpsi", GSFC: "gsfc", HC: "hc", GRR: "grr", GVA: "gva", GHFC: "ghfc", GPA: "gpa"}
MOVES = {
    inst.MFC0: trace.HWR_MFC0, inst.MTC0: trace.HWR_MTC0, inst.DMFC0: trace.HWR_DMFC0, inst.DMTC0: trace.HWR_DMTC0,
}  # fmt: skip
SOFTWARE = {
    inst.PRID: "prid", (15, 2): None, (15, 3): None, inst.SRSCTL: "srsctl", (12, 3): None, inst.ERRCTL: "errctl",
    inst.CONFIG6: "config6", inst.CONFIG7: "config7", inst.DIAG: "diag",
}  # fmt: skip
"""Registers that KVM answers from its image; None: CDMMBase, CMGCRBase, SRSMap, which read 0."""
CAUSE_IP10 = 3 << 8
LLB = 1
MAAR_MASK = 0x000000FFFFFFFFFF
"""VL and the address bits that a 3A4000 without ELPA has."""


class _Unhandled(Exception):
    """KVM has no case for it; the text is what the kernel would log."""


class GuestExits(HardTimer):
    """The guest-exit half of the VZ back-end."""

    def handle_guest_exit(self, vcpu: Vcpu) -> Resume:
        """kvm_trap_vz_handle_guest_exit"""
        code = vcpu.exit.gexccode
        name = NAMES.get(code, "resvd")
        vcpu.stats[f"vz_{name}"] += 1
        vcpu.emit("kvm_exit", vcpu.pc, trace.EXIT_GUEST + code)
        vcpu.charge(f"kvm_handle_{name}" if code in (GPSI, GSFC, HC) else "kvm_handle_int")
        if code == GHFC:
            vcpu.emit("kvm_guest_mode_change", vcpu.gc0("epc"), vcpu.pc, vcpu.gc0("badvaddr"), vcpu.gc0("status"),
                      vcpu.gc0("cause"))  # fmt: skip
            return Resume.GUEST
        before = vcpu.pc
        try:
            if code == GPSI:
                return self._gpsi(vcpu)
            if code == GSFC:
                return self._gsfc(vcpu)
            if code == HC:
                return self._hypcall(vcpu)
            raise _Unhandled(f"a guest exit with GExcCode {code}, which this machine cannot produce")
        except (_Unhandled, KvmError) as error:
            vcpu.pc = before
            return vcpu.internal_error(str(error))

    # GPSI.

    def _gpsi(self, vcpu: Vcpu) -> Resume:
        word = vcpu.exit.badinstr
        major = word >> 26
        if major == inst.COP0:
            return self._gpsi_cop0(vcpu, word)
        if major == CACHE:
            return self._gpsi_cache(vcpu, word)
        if major == inst.LWC2:
            return self._gpsi_lwc2(vcpu, word)
        if major == inst.SPECIAL3 and word & 0x3F == inst.RDHWR and word >> 11 & 31 == HWR_CC and not word >> 6 & 31:
            vcpu.advance()
            self._set(vcpu, word >> 16 & 31, signed(self._count(vcpu), 32))
            vcpu.emit("kvm_hwr", trace.HWR_RDHWR, 0x100 | HWR_CC << 3, self._count(vcpu))
            return Resume.GUEST
        raise _Unhandled(f"no emulation of the privileged instruction {word:#010x}")

    @staticmethod
    def _set(vcpu: Vcpu, register: int, value: int) -> None:
        if register:
            vcpu.gprs[register] = value

    def _gpsi_cop0(self, vcpu: Vcpu, word: int) -> Resume:
        vcpu.advance()
        if word >> 25 & 1:
            if word & 0x3F == inst.WAIT:
                return self._wait(vcpu)
            raise _Unhandled(f"no emulation of the coprocessor 0 operation {word:#010x}")
        rs, rt, register = word >> 21 & 31, word >> 16 & 31, (word >> 11 & 31, word & 7)
        if rs in (inst.MFC0, inst.DMFC0):
            value = self._read(vcpu, register)
            value = signed(value, 32 if rs == inst.MFC0 else 64)
            self._set(vcpu, rt, value)
        elif rs in (inst.MTC0, inst.DMTC0):
            value = int(vcpu.gprs[rt])
            self._write(vcpu, register, value, rs == inst.DMTC0)
        else:
            raise _Unhandled(f"no emulation of the coprocessor 0 move {word:#010x}")
        vcpu.emit("kvm_hwr", MOVES[rs], register[0] << 3 | register[1], value)
        return Resume.GUEST

    def _wait(self, vcpu: Vcpu) -> Resume:
        """WAIT: without a pending interrupt the timer becomes soft and the thread sleeps (kvm_mips_emul_wait)."""
        vcpu.stats["wait"] += 1
        vcpu.emit("kvm_exit", vcpu.pc, trace.EXIT_WAIT)
        status = vcpu.gc0("status")
        if vcpu.pending.set or (status & (ST_IE | ST_EXL | ST_ERL) == ST_IE and status & vcpu.gc0("cause") & CAUSE_IP):
            # A core takes an interrupt in front of WAIT that this model samples only at the next block boundary.
            return Resume.GUEST
        self.lose_timer(vcpu)
        return Resume.BLOCK

    def _read(self, vcpu: Vcpu, register: tuple[int, int]) -> int:
        if register == inst.COUNT:
            return self._count(vcpu)
        if register == inst.COMPARE:
            return vcpu.gc0("compare")
        if register == inst.LLADDR:
            return vcpu.core.vz.gc0("lladdr") & LLB
        if register == inst.MAAR:
            return vcpu.maar[min(vcpu.soft("maari"), len(vcpu.maar) - 1)]
        if register == inst.MAARI:
            return vcpu.soft("maari")
        if register in SOFTWARE:
            name = SOFTWARE[register]
            return 0 if name is None else vcpu.soft(name)
        raise _Unhandled(f"no emulation of a read of CP0 register {register[0]}, select {register[1]}")

    def _write(self, vcpu: Vcpu, register: tuple[int, int], value: int, wide: bool) -> None:
        if register == inst.COUNT and not wide:
            self._write_count(vcpu, value & 0xFFFFFFFF)
        elif register == inst.COMPARE and not wide:
            vcpu.timer.write_compare(value & 0xFFFFFFFF, True)
        elif register == inst.LLADDR:
            if not value & LLB:
                vcpu.core.vz.set_gc0("lladdr", 0)
        elif register == inst.MAAR:
            if vcpu.soft("maari") < len(vcpu.maar):
                vcpu.maar[vcpu.soft("maari")] = value & MAAR_MASK
        elif register == inst.MAARI:
            vcpu.set_soft("maari", min(value & 0x3F, len(vcpu.maar) - 1))
        elif register == inst.CONFIG6:
            vcpu.set_soft("config6", value)
        elif register == inst.ERRCTL:
            pass
        elif register == inst.DIAG:
            self._flush_guest_tlb(vcpu, value)
        else:
            raise _Unhandled(f"no emulation of a write of CP0 register {register[0]}, select {register[1]}")

    def _count(self, vcpu: Vcpu) -> int:
        """What Count reads while the timer is soft."""
        return vcpu.timer.read()

    def _write_count(self, vcpu: Vcpu, value: int) -> None:
        self.lose_timer(vcpu)
        vcpu.timer.write(value)

    @staticmethod
    def _flush_guest_tlb(vcpu: Vcpu, diag: int) -> None:
        """The guest's own entries, by its GuestID, of what its write of Diag names."""
        core = vcpu.core
        index, first = core.vz.gc0("index"), tlb.vtlb_size(core)
        indices = [0] if diag & DIAG_VTLB else []
        if diag & DIAG_FTLB:
            indices += range(first, first + tlb.ftlb_sets(core))
        tlb.set_root_gid_to_guest_gid(core)
        for k in indices:
            core.vz.set_gc0("index", k)
            core.vz.tlbginvf()
        tlb.clear_root_gid(core)
        core.vz.set_gc0("index", index)

    def _gpsi_cache(self, vcpu: Vcpu, word: int) -> Resume:
        """CACHE: this machine has no caches, so an operation that KVM would carry out is done."""
        vcpu.advance()
        vcpu.stats["cache"] += 1
        vcpu.emit("kvm_exit", vcpu.pc, trace.EXIT_CACHE)
        if cache_comes_to_nothing.py_func(word):
            return Resume.GUEST
        raise _Unhandled(f"no emulation of CACHE operation {word >> 16 & 31:#x}")

    def _gpsi_lwc2(self, vcpu: Vcpu, word: int) -> Resume:
        """Of the group of configuration registers Linux 6.1 knows CPUCFG alone."""
        vcpu.advance()
        if word >> 16 & 31 != 8:
            raise _Unhandled(f"no emulation of {word:#010x}; of its group KVM has CPUCFG")
        vcpu.stats["vz_cpucfg"] += 1
        number = int(vcpu.gprs[word >> 21 & 31])
        self._set(vcpu, word >> 11 & 31, signed(self.cpucfg(vcpu.core, number), 32))
        return Resume.GUEST

    # GSFC.

    def _gsfc(self, vcpu: Vcpu) -> Resume:
        word = vcpu.exit.badinstr
        if word >> 26 != inst.COP0 or word >> 21 & 31 != inst.MTC0:
            raise _Unhandled(f"a field change by {word:#010x}, which is no MTC0")
        register, value = (word >> 11 & 31, word & 7), int(vcpu.gprs[word >> 16 & 31]) & 0xFFFFFFFF
        vcpu.advance()
        if register == inst.STATUS:
            self._change_status(vcpu, value)
        elif register == inst.CAUSE:
            self._change_cause(vcpu, value)
        elif register == inst.INTCTL:
            vcpu.set_gc0("intctl", value)
        elif register == inst.CONFIG5:
            self._change_config5(vcpu, value)
        else:
            self._change_other(vcpu, register, value)
        vcpu.emit("kvm_hwr", trace.HWR_MTC0, register[0] << 3 | register[1], value)
        return Resume.GUEST

    def _change_status(self, vcpu: Vcpu, value: int) -> None:
        if not vcpu.has_fpu:
            value &= ~(ST_CU1 | ST_FR)
        change = value ^ vcpu.gc0("status")
        if change & ST_FR:
            # Every register of the FPU and the MSA is undefined now.
            fpu.drop_fpu(vcpu)
        if change & ST_CU1 and not value & ST_FR and vcpu.context.in_use & (fpu.MSA | fpu.LASX):
            fpu.lose_fpu(vcpu)
        vcpu.set_gc0("status", value)

    def _change_cause(self, vcpu: Vcpu, value: int) -> None:
        old = vcpu.gc0("cause")
        change = (old ^ value) & (CAUSE_DC | CAUSE_IV | CAUSE_WP | CAUSE_IP10) & (~CAUSE_WP | old)
        if change & value & CAUSE_DC:
            self.lose_timer(vcpu)
            vcpu.timer.disable_cause()
        vcpu.set_gc0("cause", old ^ change)
        if change & ~value & CAUSE_DC:
            vcpu.timer.enable_cause()

    def _change_config5(self, vcpu: Vcpu, value: int) -> None:
        old = vcpu.gc0("config5")
        change = (old ^ value) & self.guest_mask(vcpu, "config5")
        vcpu.set_gc0("config5", old ^ change)

    def _change_other(self, vcpu: Vcpu, register: tuple[int, int], value: int) -> None:
        raise _Unhandled(f"a field change of CP0 register {register[0]}, select {register[1]}")

    # HC.

    def _hypcall(self, vcpu: Vcpu) -> Resume:
        code = vcpu.exit.badinstr >> 11 & 0x3FF
        vcpu.advance()
        if code == 0:
            return hypcall.refuse(vcpu)
        raise _Unhandled(f"HYPCALL {code}; KVM answers code 0")
