"""First runs after an installation: the cache of compiled code is empty."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from soc.bench import boots, runs
from soc.bench.contest import SHORT
from soc.bench.setting import Setting

PROGRAM, BOOT = "a short program", "the boot, default command line"


@dataclass
class Cold:
    """One first run: wall time of the whole process in s."""

    name: str
    wall_s: float


def cold(setting: Setting) -> list[Cold]:
    """A short program, and the boot if there is a kernel; once each."""
    with tempfile.TemporaryDirectory() as folder:
        setting.say(PROGRAM)
        elf = Path(folder) / "short.elf"
        elf.write_bytes(setting.guests.system("system call", SHORT))
        found = [Cold(PROGRAM, runs.soc("run", elf, environment=_empty(folder, "run")).wall_s)]
        if setting.material is not None:
            setting.say(BOOT)
            found.append(Cold(BOOT, boots.cold_start(setting, folder, _empty(folder, "boot"))))
    return found


def _empty(folder: str, name: str) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(Path(folder) / f"cache-{name}")}
