"""QEMU's loongson3-virt as an oracle for device models: registers through the qtest socket, the rest through QMP."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

COMMAND = "qemu-system-mips64el"
MISSING = None if shutil.which(COMMAND) else f"{COMMAND} is not installed"
LETTER = {1: "b", 2: "w", 4: "l", 8: "q"}


class QemuMachine:
    """A stopped four-core machine. No instruction runs; its devices answer accesses of the test."""

    def __init__(self, folder: Path) -> None:
        firmware = folder / "firmware"
        firmware.write_bytes(bytes(4096))
        path = str(folder / "qtest")
        options = {
            "-M": "loongson3-virt",
            "-cpu": "Loongson-3A1000",
            "-smp": "4",
            "-m": "512",
            "-display": "none",
            "-bios": str(firmware),
            "-qtest-log": "/dev/null",
            "-qtest": f"unix:{path},server=on,wait=off",
            "-chardev": "ringbuf,id=console,size=65536",
            "-serial": "chardev:console",
            "-qmp": "stdio",
        }
        self.process = subprocess.Popen(
            [COMMAND, "-S", "-nodefaults", *(word for option in options.items() for word in option)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.connection = self._connect(path)
        self.qtest = self.connection.makefile("rw")
        self.qmp("qmp_capabilities")

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
        raise RuntimeError("QEMU ended")

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
        self.process.stdin.write(json.dumps({"execute": "system_reset"}) + "\n")
        self.process.stdin.flush()
        expected = {"return", "RESET"}
        while expected:
            answer = json.loads(self.process.stdout.readline())
            expected -= {"return"} if "return" in answer else {answer.get("event")}

    def causes(self) -> list[int]:
        """CP0 Cause of every core."""
        text = self.qmp("human-monitor-command", **{"command-line": "info registers -a"})
        return [int(cause, 16) for cause in re.findall(r"Cause\s+0x([0-9a-f]+)", text)]

    def console(self) -> str:
        """What the UART sent since the last call."""
        return self.qmp("ringbuf-read", device="console", size=65536, format="base64")
