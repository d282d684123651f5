"""A stopped guest moves to another machine, by the calls that KVM has for a VMM.

Each vCPU's registers go by id (KVM_GET_REG_LIST, KVM_GET_ONE_REG, KVM_SET_ONE_REG), the lines that are high by
KVM_INTERRUPT, memory and devices are the VMM's own. `beyond` is what a guest may have that no id reaches or takes:
empty for a guest that uses none of it. Translations stay behind and are refilled.
"""

from __future__ import annotations

from contextlib import suppress
from errno import EBUSY, EINVAL
from typing import TYPE_CHECKING, Any

import numpy as np

from cpu.kvm import onereg
from cpu.kvm.count import CTL_DC
from cpu.kvm.errors import KvmError
from cpu.kvm.interrupt import TIMER
from cpu.kvm.tlb import Entry
from cpu.kvm.uapi import Ioctl

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu
    from soc.machine import Machine

FIRST = tuple(map(onereg.cp0, ("config1", "config3", "config5", "status")))
"""What a guest has of units, and Status.FR, decide which other registers there are."""
TIMED = (onereg.COUNT_CTL, onereg.COUNT_RESUME)
"""Of the host's time: the target's own count from the move on."""


def leave(machine: Machine) -> dict[str, Any]:
    """The guest of a machine whose `stop_guest` has been followed by a run, as msgpack types: vCPUs, memory, devices,
    mailboxes, levels at its pins. KvmError (EBUSY) where a vCPU is in KVM_RUN, or has an MMIO exit to complete."""
    hypervisor = machine.hypervisor
    hypervisor.host.settle()
    ports = hypervisor.ports
    return {
        "backend": hypervisor.vm.callbacks.name,
        "time": hypervisor.time,
        "vcpus": [_leave(vcpu) for vcpu in hypervisor.vcpus],
        "released": sorted(hypervisor.released),
        "mailboxes": [thread.mailboxes for thread in hypervisor.host.threads],
        "mail": [list(port.mailboxes) for port in ports],
        "pins": [[[ip, list(drivers.items())] for ip, drivers in port.pins.items()] for port in ports],
        "memory": [[offset, data] for offset, data in machine.memory.contents()],
        "devices": {name: component.device.save() for name, component in machine.components.items()},
    }


def arrive(machine: Machine, saved: dict[str, Any]) -> None:
    """The guest of `leave`, in a machine that has not run. What its devices have still to do, they do as much later
    as this machine is younger. KvmError (EINVAL) where its vCPUs are others."""
    hypervisor = machine.hypervisor
    there = saved["backend"], len(saved["vcpus"])
    here = hypervisor.vm.callbacks.name, len(hypervisor.vcpus)
    if there != here:
        raise KvmError(EINVAL, f"a guest of back-end and vCPUs {there}; this machine is for {here}")
    images = [vcpu.image.copy() for vcpu in hypervisor.vcpus]
    for offset, data in saved["memory"]:
        machine.memory.restore(offset, data)
    for vcpu, image in zip(hypervisor.vcpus, images, strict=True):
        vcpu.image[:] = image  # under trap and emulate it lies in that memory
    younger = saved["time"] - hypervisor.time
    for name, state in saved["devices"].items():
        timers = {token: time - younger for token, time in state["timers"].items()}
        component = machine.components[name]
        component.access(component.device.restore, {**state, "timers": timers})
    hypervisor.released = set(saved["released"])
    for thread, mailboxes in zip(hypervisor.host.threads, saved["mailboxes"], strict=True):
        thread.mailboxes = mailboxes
    for port, mail, pins in zip(hypervisor.ports, saved["mail"], saved["pins"], strict=True):
        port.mailboxes = list(mail)
        for ip, drivers in pins:
            port.pins[ip] = dict(drivers)
    for vcpu, port, state in zip(hypervisor.vcpus, hypervisor.ports, saved["vcpus"], strict=True):
        _arrive(vcpu, state)
        for ip in (ip for ip, drivers in port.pins.items() if drivers):
            with suppress(KvmError):  # an input that KVM has no number for
                vcpu.ioctl(Ioctl.INTERRUPT, ip)


def beyond(saved: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """What of a guest in `saved` had to go by other ways than ids: vCPU to what."""
    return {number: vcpu["beyond"] for number, vcpu in enumerate(saved["vcpus"]) if vcpu["beyond"]}


def _leave(vcpu: Vcpu) -> dict[str, Any]:
    if vcpu.running or vcpu.mmio_needed:
        raise KvmError(EBUSY, f"vCPU {vcpu.number} is in KVM_RUN, or its last MMIO exit is not completed")
    control = vcpu.get_one_reg(onereg.COUNT_CTL)
    vcpu.set_one_reg(onereg.COUNT_CTL, CTL_DC)
    ids = [*vcpu.get_reg_list(), *vcpu.vm.callbacks.counters]
    registers = []
    for number in ids:
        with suppress(KvmError):  # with Status.FR = 0 odd doubles and vectors are listed, and there are none
            if number not in TIMED:
                registers.append([number, vcpu.get_one_reg(number).to_bytes(onereg.size(number), "little")])
    lacking = _beyond(vcpu, {name for name in vcpu.vm.callbacks.saved if onereg.cp0(name) not in ids})
    vcpu.set_one_reg(onereg.COUNT_CTL, control)
    return {"registers": registers, "beyond": lacking}


def _arrive(vcpu: Vcpu, state: dict[str, Any]) -> None:
    values = {number: int.from_bytes(data, "little") for number, data in state["registers"]}
    # Count stands still until all is there, and goes on from where it stood.
    vcpu.set_one_reg(onereg.COUNT_CTL, CTL_DC)
    for number in (*FIRST, *values):
        vcpu.set_one_reg(number, values[number])
    _take(vcpu, state["beyond"])
    vcpu.set_one_reg(onereg.COUNT_CTL, 0)


# What no id reaches.


def _beyond(vcpu: Vcpu, unlisted: set[str]) -> dict[str, Any]:
    """CP0 registers without an id; vectors, whose ids take no value; MAARs; wired entries of the guest TLB, or all of
    it where it is KVM's own (trap and emulate); a timer interrupt that is queued and not yet in Cause. Only what is not
    as it was at reset."""
    found = {
        "cp0": {name: vcpu.soft(name) for name in sorted({*unlisted, "maari"}) if vcpu.soft(name)},
        "vectors": vcpu.context.registers.tobytes() if vcpu.context.registers[:, 1:].any() else b"",
        "maar": list(vcpu.maar) if any(vcpu.maar) else [],
        "wired": [list(entry) for entry in vcpu.wired],
        "guest_tlb": vcpu.shadow.written_entries() if vcpu.shadow is not None else [],
        "timer": bool(vcpu.pending.set >> TIMER & 1),
    }
    return {name: value for name, value in found.items() if value}


def _take(vcpu: Vcpu, found: dict[str, Any]) -> None:
    for name, value in found.get("cp0", {}).items():
        vcpu.set_soft(name, value)
    if "vectors" in found:
        vcpu.context.registers.reshape(-1)[:] = np.frombuffer(found["vectors"], np.int64)
    vcpu.maar = list(found.get("maar", vcpu.maar))
    vcpu.wired = [Entry(*entry) for entry in found.get("wired", ())]
    if "guest_tlb" in found:
        vcpu.shadow.guest_tlb = [Entry(*entry) for entry in found["guest_tlb"]]
    if "timer" in found:
        vcpu.queue_timer_int()
