"""Runs the rows of `tests/devices/vectors.py` on devices wired as in the machine, without latencies.

python -m tests.devices.vector_bench        # the table: row, mode, result, source
"""

import re

from devices.board import Board
from tests.devices.vectors import MACROS, NOT_REPRODUCED, ON_MACHINE, VECTORS, Vector

HT_WINDOW = 0x80
PS = {"ns": 10**3, "us": 10**6}


def hw_board() -> Board:
    """PCH-PIC, doorbell, HTVEC, EIOINTC, LIOINTC, IPI block and timers of one node."""
    board = Board()
    for name, kind in {
        "pic": "ls7a_irq",
        "msi": "ls7a_msi",
        "htv": "ls3a_ht_irq",
        "ext": "ls3a_ext_irq",
        "lio": "ls3a_router_irq",
        "ipi": "ls3a_ipi",
        "tmr": "stable_timer",
    }.items():
        board.add(name, kind)
    board.wire("pic.lo", "htv.message")
    board.wire("msi.lo", "htv.message")
    board.wire("pic.intn0", "lio.input[0]")
    board.wire("htv.forward", "ext.message")
    board.wire("ext.ext_int_en", "htv.ext_int")
    board.wire("ipi.csr", "ext")
    for n in range(8):
        board.wire(f"htv.line[{n}]", f"lio.input[{24 + n}]")
    return board


def kvm_board() -> Board:
    """The irqchips of Loongson's KVM: the 4.19 tree's, and beside them the older HTVEC and router."""
    board = Board()
    for name, kind in {
        "pic": "ls7a_irq_kvm",
        "htv": "ls3a_ht_irq_kvm",
        "ext": "ls3a_ext_irq_kvm",
        "lio": "ls3a_router_irq_kvm",
        "ipi": "ls3a_ipi_kvm",
    }.items():
        board.add(name, kind)
    board.wire("pic.lo", "ext.message")
    board.wire("ipi.csr", "ext")
    for n in range(8):
        board.wire(f"htv.line[{n}]", f"lio.input[{24 + n}]")
    return board


BOARDS = {"hw": hw_board, "kvm": kvm_board}


class Bench:
    """A board and the steps done to it."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.board = BOARDS[mode]()
        self._seen: dict[tuple[str, str], int] = {}

    def run(self, vector: Vector) -> None:
        """Do all steps. AssertionError, with step and source, at the first that gives something else."""
        for device, step in self._expanded(vector.device, vector.steps):
            self._step(device, step, f"{vector.name}: {step} ({vector.source})")

    def _expanded(self, device: str, text: str) -> list[tuple[str, str]]:
        rows = {v.name: v for v in VECTORS if v.mode == self.mode}
        found = []
        for part in (part.strip() for part in text.split(";") if part.strip()):
            if part in MACROS:
                found += self._expanded(device, ";".join(MACROS[part]))
            elif part in rows:
                found += self._expanded(rows[part].device, rows[part].steps)
            else:
                name, _, rest = part.partition(" ")
                found.append((name, rest) if name in self.board.devices else (device, part))
        return found

    def _step(self, device: str, step: str, why: str) -> None:
        board = self.board
        if access := re.fullmatch(r"(C?)([RW])([1248]) (\w+)=(\w+)", step):
            size, offset, value = int(access[3]), int(access[4], 16), int(access[5], 16)
            offset += HT_WINDOW if device == "htv" else 0
            where = {"space": "csr"} if access[1] else {}
            if access[2] == "W":
                board.write(device, offset, size, value, **where)
            else:
                found = board.read(device, offset, size, **where)
                assert found == value, f"{why}: {found:#x}"
        elif line := re.fullmatch(r"L(\d+)([+-])", step):
            board.line(f"{device}.input[{line[1]}]", int(line[2] == "+"))
        elif message := re.fullmatch(r"M(\d+)(-?)", step):
            board.vector(f"{device}.{'withdrawn' if message[2] else 'message'}", int(message[1]))
        elif mask := re.fullmatch(r"(un|mk)(\d+)", step):
            self._mask(device, mask[1] == "mk", int(mask[2]))
        elif time := re.fullmatch(r"\+(\d+)(ns|us)", step):
            board.advance(int(time[1]) * PS[time[2]])
        elif step == "compare":
            board.vector("tmr.compare", 0)
        elif level := re.fullmatch(r"out (\w+)=([01])", step):
            assert board.level(f"{device}.{level[1]}") == int(level[2]), why
        else:
            self._compare(device, *step.split(), why=why)

    def _compare(self, device: str, what: str, *expected: str, why: str) -> None:
        if what == "sent":
            port, *expected = expected
            vectors = [v for _, k, p, v in self.board.devices[device].outside.events if (k, p) == ("vector", port)]
            first = self._seen.get((device, port), 0)
            self._seen[device, port] = len(vectors)
            found = [str(vector) for vector in vectors[first:]]
        elif what == "sources":
            levels = self.board.devices["lio"].input.levels
            found = [str(source) for source in range(32) if levels >> source & 1]
        else:
            assert what == "pins", f"no such step: {why}"
            found = sorted(self.pins())
        assert found == list(expected), f"{why}: {found}"

    def _mask(self, device: str, masked: bool, pin: int) -> None:
        size = 4 if self.mode == "hw" else 8
        offset, bit = 0x20 + (pin // 32 * 4 if size == 4 else 0), 1 << pin % (8 * size)
        old = self.board.read(device, offset, size)
        self.board.write(device, offset, size, old | bit if masked else old & ~bit)

    def pins(self) -> set[str]:
        """Asserted core pins, as core.IP."""
        found = set()
        for name in ("lio", "ext"):
            levels = self.board.devices[name].pin.levels
            found |= {f"{n // 4}.{n % 4 + 2}" for n in range(16) if levels >> n & 1}
        for name, ip in (("ipi", 6), ("tmr", 7)):
            levels = self.board.devices[name].pin.levels if name in self.board.devices else 0
            found |= {f"{core}.{ip}" for core in range(4) if levels >> core & 1}
        return found


def main() -> None:
    failed = 0
    for vector in VECTORS:
        try:
            Bench(vector.mode).run(vector)
            result = "pass"
        except AssertionError as error:
            failed += 1
            result = f"FAIL {error}"
        print(f"{vector.name}  {vector.mode:3}  {result}  {vector.source}")
    for name in sorted(ON_MACHINE):
        print(f"{name}  -    run in tests/soc/test_vectors_machine.py")
    for name, reason in sorted(NOT_REPRODUCED.items()):
        print(f"{name}  -    not reproduced: {reason}")
    print(f"{len(VECTORS)} rows run, {failed} failed, {len(NOT_REPRODUCED)} not reproduced")


if __name__ == "__main__":
    main()
