"""The whole way, on real input: Debian's kernel to a shell, a script typed, power off. Long evidence."""

import json
import subprocess
import sys

import pytest

from soc.errors import SocError
from soc.fetch import debian

SCRIPT = """\
echo six times seven is $((6*7))
cat /proc/cpuinfo
for i in 1 2 3; do echo "loop $i"; done
poweroff -f
"""
TIMEOUT_S = 300


def boot(tmp_path, append: str = "") -> tuple[int, str, dict]:
    """Exit status, console and result of one `soc boot` of the fetched kernel."""
    script = tmp_path / "script"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "soc", "boot", "--script", str(script), "--append", append]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S)
    last = done.stderr.decode().splitlines()[-1]
    return done.returncode, done.stdout.decode("utf-8", "replace"), json.loads(last.removeprefix("result: "))


@pytest.mark.slow
@pytest.mark.parametrize("append", ["", "nokaslr cryptomgr.notests"])
def test_the_debian_kernel_boots_to_a_shell_and_powers_off_alike_each_time(tmp_path, append):
    try:
        material = debian.cached()
    except SocError as error:
        pytest.skip(f"the cache of guest material is unusable: {error}")
    if material is None:
        pytest.skip("no Debian kernel in the cache: `soc fetch debian` gets it")
    status, console, result = boot(tmp_path, append)
    assert (status, result["ended"]) == (0, "poweroff")
    for text in ("CPU0 revision is: 0014c000", "FPU revision is: 00770501", "MSA revision is: 00000140", "INIT-UP"):
        assert text in console
    assert "six times seven is 42" in console
    assert "loop 3\r\n" in console
    again = boot(tmp_path, append)
    assert again[1] == console
    assert again[2]["trace_hash"] == result["trace_hash"]
