"""The few lines that end every run, for people; the result line after them is for programs."""

from collections.abc import Mapping
from typing import Any

# Counters of the cores are grouped by the first word of their name.
GROUPS = {"exit": "exits", "kvm": "KVM", "exception": "exceptions", "refill": "TLB refills", "interrupt": "interrupts"}


def summary(result: Mapping[str, Any]) -> str:
    """Text of one line for the run as a whole, one per group of counters, one for the trace hash."""
    head = (
        f"soc: {_scaled(result['instructions'])} instructions  virtual {_time(result['virtual_s'])}  "
        f"wall {result['wall_s']:.2f} s  {result['mips']:.1f} MIPS  {result['ended']}"
    )
    told = result["reason"] and result["ended"] != "error"  # an error was told in full
    lines = [f"{head} ({result['reason']})" if told else head]
    lines += [f"     {label}: {text}" for label, text in _groups(result["details"])]
    unmapped = f", {result['unmapped']} of them where nothing is" if result["unmapped"] else ""
    rate = result["exits"] / result["wall_s"] if result["wall_s"] else 0.0
    lines.append(f"     MMIO: {result['exits']} accesses, {rate:,.0f} per second{unmapped}")
    lines.append(f"     trace hash {result['trace_hash']}")
    return "\n".join(lines)


def _groups(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in details.items():
        if not value:
            continue
        kind, _, rest = name.partition(" ")
        label = GROUPS.get(kind, "counted")
        grouped.setdefault(label, []).append(f"{rest if kind in GROUPS and rest else name} {value}")
    return [(label, ", ".join(texts)) for label, texts in grouped.items()]


def _time(seconds: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3f} {unit}"
    return f"{seconds * 1e9:.3f} ns"


def _scaled(count: int) -> str:
    for scale, unit in ((10**9, "G"), (10**6, "M")):
        if count >= scale:
            return f"{count / scale:.3f} {unit}"
    return str(count)
