"""QEMU's loongson3-virt as an oracle for device models: registers through the qtest socket, the rest through QMP."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

from soc.bench.qemu import Qemu

SEQUENCES = int(os.environ.get("DEVICE_FUZZ", "20"))
"""Random sequences per test. The long run has 500."""
STEPS = 50
"""Operations per sequence."""

LIOINTC = 0x3FF0_1400
INTISR, INTEN_SET, INTEN_CLEAR = LIOINTC + 0x20, LIOINTC + 0x28, LIOINTC + 0x2C
LETTER = {1: "b", 2: "w", 4: "l", 8: "q"}
IDLE = (0x4200_0020, 0x1000_FFFE, 0)
"""wait; b to it; nop: what the processor runs while the clock goes."""
CAUSE = re.compile(r"Cause\s+0x([0-9a-f]+)")


class QemuMachine:
    """A stopped four-core machine. No instruction runs; its devices answer accesses of the test.

    Debian builds QEMU without its qtest accelerator, hence without clock_step: time passes in `run_for`, by some time
    that the caller has to read from the clock.
    """

    def __init__(self, qemu: Qemu, folder: Path) -> None:
        self.name = qemu.name
        firmware = folder / "firmware"
        firmware.write_bytes(b"".join(word.to_bytes(4, "little") for word in IDLE).ljust(4096, b"\0"))
        path = str(folder / "qtest")
        options = {
            "-M": "loongson3-virt",
            "-cpu": qemu.cpu,
            "-smp": "4",
            "-m": "512",
            "-display": "none",
            "-bios": str(firmware),
            "-rtc": "base=2020-01-01,clock=vm",
            "-qtest-log": "/dev/null",
            "-qtest": f"unix:{path},server=on,wait=off",
            "-chardev": "ringbuf,id=console,size=65536",
            "-serial": "chardev:console",
            "-qmp": "stdio",
        }
        self.process = subprocess.Popen(
            [*qemu.command, "-S", "-nodefaults", "-no-shutdown", *(word for item in options.items() for word in item)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.events: list[str] = []
        self.connection = self._connect(path)
        self.qtest = self.connection.makefile("rw")
        self.qmp("qmp_capabilities")
        self.reversed = self._wired_in_reverse()

    def _connect(self, path: str) -> socket.socket:
        for _ in range(200):
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(path)
                return connection
            except OSError:
                connection.close()
                if self.process.poll() is not None:
                    raise RuntimeError(f"QEMU ended: {self.process.stdout.read()}") from None
                time.sleep(0.05)
        self.process.kill()
        raise RuntimeError("QEMU did not open its qtest socket within 10 s")

    def close(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.communicate()

    def command(self, text: str) -> str:
        """One qtest command; its answer without OK."""
        self.qtest.write(text + "\n")
        self.qtest.flush()
        answer = self.qtest.readline().split()
        if not answer or answer[0] != "OK":
            raise RuntimeError(f"qtest {text!r}: {answer}")
        return " ".join(answer[1:])

    def qmp(self, execute: str, **arguments: object) -> object:
        self.process.stdin.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(f"QMP {execute}: {answer['error']}")
            if "event" in answer:
                self.events.append(answer["event"])
        raise RuntimeError("QEMU ended")

    def wait_for(self, event: str) -> None:
        """Wait until QEMU reported `event`, at most 2 s; forgets it and what was reported before."""
        for _ in range(2000):
            if event in self.events:
                del self.events[: self.events.index(event) + 1]
                return
            self.qmp("query-status")
            time.sleep(0.001)
        raise RuntimeError(f"QEMU did not report {event} within 2 s, but {self.events}")

    def read(self, address: int, size: int) -> int:
        return int(self.command(f"read{LETTER[size]} {address:#x}"), 16)

    def write(self, address: int, size: int, value: int) -> None:
        self.command(f"write{LETTER[size]} {address:#x} {value:#x}")

    def find(self, type_name: str) -> str:
        """Path of the first device of a type."""
        for child in self.qmp("qom-list", path="/machine/unattached"):
            if child["type"] == f"child<{type_name}>":
                return f"/machine/unattached/{child['name']}"
        raise RuntimeError(f"this QEMU machine has no {type_name}")

    def drive(self, device: str, line: int, level: int) -> None:
        self.command(f"set_irq_in {device} unnamed-gpio-in {line} {level}")

    def reset(self) -> None:
        """Reset the machine and wait until that is done."""
        self.events.clear()
        self.qmp("system_reset")
        self.wait_for("RESET")

    def run_for(self, seconds: float) -> None:
        """Let the machine's clock go for about as long."""
        self.qmp("cont")
        time.sleep(seconds)
        self.qmp("stop")

    def causes(self) -> list[int]:
        """CP0 Cause of every core, in the order of the interrupt controllers' outputs."""
        text = self.qmp("human-monitor-command", **{"command-line": "info registers -a"})
        causes = [int(cause, 16) for cause in CAUSE.findall(text)]
        return causes[::-1] if self.reversed else causes

    def _wired_in_reverse(self) -> bool:
        """QEMU 7.2 wires core 0's outputs to CPU#0; of 10.0's four CPUs, CPU#3 gets them. Tried out with a source."""
        self.reversed = False
        router = self.find("loongson.liointc")
        self.write(LIOINTC, 1, 0x11)
        self.write(INTEN_SET, 4, 1)
        self.drive(router, 0, 1)
        causes = self.causes()
        self.drive(router, 0, 0)
        self.write(INTEN_CLEAR, 4, 1)
        self.write(LIOINTC, 1, 0)
        return bool(causes[-1])

    def console(self) -> str:
        """What the UART sent since the last call."""
        return self.qmp("ringbuf-read", device="console", size=65536, format="base64")
