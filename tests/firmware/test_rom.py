"""The ROM's words against GNU's disassembler, and the places the LEFI table names."""

import re
import shutil
import subprocess
from itertools import pairwise

import pytest

from soc.firmware import rom

OBJDUMP = shutil.which("mips64el-linux-gnuabi64-objdump")

EXPECTED = {
    0x00: """
        mfc0 t0,c0_status; ori t0,t0,0x80; mtc0 t0,c0_status; ehb; mfc0 t0,c0_ebase; andi t1,t0,0x3;
        dsll t1,t1,0x8; andi t0,t0,0xc; dsll32 t0,t0,0xa; or t1,t1,t0; lui t2,0x9000; dsll32 t2,t2,0x0;
        lui t3,0x3ff0; ori t3,t3,0x1000; or t2,t2,t3; or t1,t1,t2; ld t2,32(t1); beqz t2,0x40; nop;
        ld sp,40(t1); ld gp,48(t1); ld a1,56(t1); jr t2; nop""",
    0x80: """
        lui t0,0x9000; dsll32 t0,t0,0x0; lui t1,0x1008; ori t1,t1,0x10; or t0,t0,t1; sb zero,0(t0); b 0x98; nop""",
    0xA8: """
        lui t0,0x9000; dsll32 t0,t0,0x0; lui t1,0x1008; ori t1,t1,0x10; or t0,t0,t1; li t1,255; sb t1,0(t0);
        b 0xc4; nop""",
    0xD0: "wait; b 0xd0; nop",
}

LS7A = {
    **EXPECTED,
    0x80: """
        lui t0,0x9000; dsll32 t0,t0,0x0; lui t1,0x100d; or t0,t0,t1; li t1,1; sw t1,48(t0); b 0x98; nop""",
    0xA8: """
        lui t0,0x9000; dsll32 t0,t0,0x0; lui t1,0x100d; or t0,t0,t1; li t1,15360; sw t1,20(t0); b 0xc0; nop""",
}


@pytest.mark.parametrize("platform", rom.PLATFORMS)
def test_routines_do_not_run_into_each_other(platform):
    code = rom.PLATFORMS[platform]
    for place, after in pairwise(sorted(code)):
        assert place + 4 * len(code[place]) <= after
    assert len(rom.rom_code(platform)) <= 0x1000


@pytest.mark.binutils
@pytest.mark.skipif(OBJDUMP is None, reason="mips64el-linux-gnuabi64-objdump is not installed")
@pytest.mark.parametrize(("platform", "expected"), [("virt", EXPECTED), ("ls7a", LS7A)])
def test_the_words_are_what_their_comments_say(tmp_path, platform, expected):
    path = tmp_path / "rom.bin"
    path.write_bytes(rom.rom_code(platform))
    command = [OBJDUMP, "-D", "-z", "-b", "binary", "-m", "mips:isa64r2", "-M", "gpr-names=32,cp0-names=mips64r2", path]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {
        int(match[1], 16): f"{match[2]} {match[3]}".strip()
        for match in re.finditer(r"^\s*([0-9a-f]+):\t[0-9a-f]{8} \t(\S+)[ \t]*(\S*)", listing, re.M)
    }
    for place, text in expected.items():
        wanted = [" ".join(line.split()) for line in text.split(";")]
        assert [found[place + 4 * index] for index in range(len(wanted))] == wanted
