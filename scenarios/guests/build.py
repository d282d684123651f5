"""Builds the guests written in C, with the cross compiler that the package ziglang brings.

Nothing binary is shipped. The ELF files are kept in the cache, keyed by sources, options and compiler, so that a second
run compiles nothing. Use: `bench(iterations=1000)`.
"""

import io
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from elftools.elf.elffile import ELFFile

from soc.errors import ConfigurationError, choose
from soc.fetch.cache import cache_root, sha256, write_atomically

FOLDER = Path(__file__).parent
COMPILER = "ziglang"
# MIPS64 release 2, n64, absolute addresses: what every machine under comparison has, and no start-up code.
OPTIONS = (
    "-target mips64el-freestanding -mcpu=mips64r2 -mabi=64 -mno-abicalls -fno-pic -G0 -static -nostdlib "
    "-ffreestanding -fno-builtin -fno-math-errno -fno-stack-protector -fomit-frame-pointer -O2 -g0 "
    "-Wall -Wextra -Werror -Wl,--entry=_start -Wl,--build-id=none -Wl,--no-eh-frame-hdr"
).split()
# Guests that enable the FPU; the others are compiled without it.
FLOATING = ("compute",)
COMPUTE_PARTS = ("integer", "double", "memory", "calls")


def bench(iterations: int = 1) -> bytes:
    """The ELF of the benchmark, set to run `iterations` times (1 to 2^32 - 1). Raises ConfigurationError."""
    return _repeated(build("bench"), iterations)


def compute(part: str, iterations: int = 1) -> bytes:
    """The ELF of one of `COMPUTE_PARTS`, set to run `iterations` times (1 to 2^32 - 1). Raises ConfigurationError."""
    if part not in COMPUTE_PARTS:
        raise ConfigurationError(choose("part of the compute set", part, COMPUTE_PARTS))
    return _repeated(with_word(build("compute"), "part", COMPUTE_PARTS.index(part) + 1), iterations)


def _repeated(elf: bytes, iterations: int) -> bytes:
    if not 1 <= iterations < 1 << 32:
        raise ConfigurationError(f"iterations = {iterations}; allowed: 1 to {(1 << 32) - 1}.\nGive a number in it.")
    return with_word(elf, "iterations", iterations)


def build(name: str) -> bytes:
    """The ELF of `name`.c, linked by bench.ld. Raises ConfigurationError when there is no compiler or it fails."""
    source, script = FOLDER / f"{name}.c", FOLDER / "bench.ld"
    options = OPTIONS if name in FLOATING else [*OPTIONS, "-msoft-float"]
    try:
        version = metadata.version(COMPILER)
    except metadata.PackageNotFoundError as cause:
        raise ConfigurationError(
            f"the guest {source.name} is written in C, and the compiler package {COMPILER} is not installed.\n"
            "`pip install '.[guests]'` in the project's folder installs it."
        ) from cause
    made_of = b"\0".join([source.read_bytes(), script.read_bytes(), " ".join(options).encode(), version.encode()])
    folder = cache_root() / "guests"
    path = folder / f"{name}-{sha256(made_of)[:24]}.elf"
    if not path.exists():
        write_atomically(path, _compile(source, script, options, folder))
    return path.read_bytes()


def _compile(source: Path, script: Path, options: list[str], folder: Path) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / "guest.elf"
        command = [sys.executable, "-m", COMPILER, "cc", *options, f"-Wl,-T,{script}", str(source), "-o", str(made)]
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(folder / "zig"), "ZIG_LOCAL_CACHE_DIR": scratch}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
        if done.returncode or not made.exists():
            said = "; ".join(done.stderr.strip().splitlines()[:3]) or f"status {done.returncode}"
            raise ConfigurationError(
                f"{COMPILER} cannot compile {source.name}: {said}.\nAnother version of {COMPILER} may: 0.13 or newer."
            )
        return made.read_bytes()


def with_word(elf: bytes, symbol: str, value: int) -> bytes:
    """`elf` with the 64-bit little-endian word at `symbol` replaced. Raises ConfigurationError where there is none."""
    file = ELFFile(io.BytesIO(elf))
    table = file.get_section_by_name(".symtab")
    found = table.get_symbol_by_name(symbol) if table else None
    if not found:
        raise ConfigurationError(f"the guest has no symbol {symbol}.\nDefine it as a 64-bit word in its source.")
    address = found[0]["st_value"]
    for segment in file.iter_segments("PT_LOAD"):
        offset = address - segment["p_vaddr"]
        if 0 <= offset <= segment["p_filesz"] - 8:
            at = segment["p_offset"] + offset
            return elf[:at] + value.to_bytes(8, "little") + elf[at + 8 :]
    raise ConfigurationError(
        f"the symbol {symbol} at {address:#x} has no bytes in the file.\nGive it an initial value."
    )
