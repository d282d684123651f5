"""The arithmetic of a vCPU's soft timer (cpu/kvm/count.py), for KVM and for what the compiled loop does in its place.

Count is a bias plus host time, in ns, at `hz`; `period` is how long it takes for a whole wrap, in ns. Source: Linux
6.1: arch/mips/kvm/emulate.c, kvm_mips_*count*.
"""

from __future__ import annotations

from cpu.engine.jit import jit
from cpu.words import M32

NS = 1_000_000_000
MIN_DRIFT = -0x10000
"""How far Guest.Count may seem to lag behind the bias, in Count ticks, before that is moved."""


@jit
def is_before(a, b):
    """Whether Count comes to `a` before it comes to `b`."""
    return (a - b) & 0x80000000 != 0


@jit
def has_matched(count, compare, now, expires, period):
    """Whether Count, `count` at `now`, has met `compare`, and the host timer for it, at `expires`, is about to come."""
    return not is_before(count, compare) and expires < now + period // 4


@jit
def ticks(hz, period, now):
    """What Count has at `now` beside its bias."""
    return now % period * hz // NS


@jit
def expiry(hz, compare, count, now):
    """When Count, `count` at `now`, reaches `compare`: a whole wrap later where it is there."""
    return now + (((compare - count - 1) & M32) + 1) * NS // hz


@jit
def taken_over(hz, period, bias, before, now, count, min_drift):
    """What `SoftTimer.restore` makes of the bias, and the time at which Count was `count`."""
    drift = signed(count - (bias + ticks(hz, period, before)))
    if drift < min_drift:
        return (bias + drift) & M32, before
    now_count = (bias + ticks(hz, period, now)) & M32
    drift = signed(count - now_count)
    if drift > 0:
        return (bias + drift) & M32, now
    return bias, now - ((now_count - count) & M32) * NS // hz


@jit
def signed(value):
    """The low 32 bits as a two's complement number."""
    return ((value & M32) ^ 0x80000000) - 0x80000000
