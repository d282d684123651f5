"""The files and outputs that docs/adding-a-device.md shows.

python -m tests.kit.pages        # writes the outputs as they now are into the page
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-device.md"
BLOCK = re.compile(r'(```\w+ title="([^"]+)"\n)(.*?)(```)', re.DOTALL)
GOLDEN = "golden/test_gpio/test_two_edges_as_they_always_were.txt"
TABLE = "|---|---|---|---|---|---|\n"


def blocks() -> dict[str, str]:
    """Title to contents of every titled block."""
    return {title: body for _, title, body, _ in BLOCK.findall(PAGE.read_text(encoding="utf-8"))}


def write_files(folder: Path) -> None:
    """The page's files, without what is recorded."""
    for title, body in blocks().items():
        if Path(title).suffix and "/" not in title:
            (folder / title).write_text(body)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module in the folder of a user who has the package on the path."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True)


def pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "pytest", "-q", "-p", "soc.kit.plugin", "-p", "no:cacheprovider", *arguments)


def failure(output: str) -> str:
    """What pytest says of an AssertionError, without its marks."""
    lines = [line[8:] for line in output.splitlines() if line == "E" or line.startswith("E  ")]
    return "\n".join(lines).removeprefix("AssertionError: ") + "\n"


def coverage(folder: Path) -> str:
    """The report of a run of the device's own tests."""
    done = pytest(folder, "--register-coverage", "test_gpio.py", "gpio.vectors.toml")
    (report,) = re.findall(r"=+ register coverage =+\n(.*?)(?:golden trace|\d+ passed|=====)", done.stdout, re.DOTALL)
    return report


def forgotten(folder: Path) -> str:
    """What `check_device` says of state that is not declared."""
    text = (folder / "gpio.py").read_text()
    text = re.sub(r'    still = Internal\(0\)\n    """.*?"""\n', "", text).replace("import Internal, ", "import ")
    start = "        super().__init__(**options)"
    (folder / "forgetful.py").write_text(text.replace(start, f"        self.still = 0\n{start}"))
    test = "from forgetful import Gpio\nfrom soc.kit import check_device\ndef test_it():\n    check_device(Gpio)\n"
    (folder / "test_forgetful.py").write_text(test)
    return failure(pytest(folder, "test_forgetful.py").stdout)


def late(folder: Path) -> str:
    """What `assert_latency` says with a limit that is too tight."""
    text = (folder / "test_board.py").read_text()
    (folder / "test_late.py").write_text(re.sub(r'below="3 us".*\)', 'below="1 us")', text))
    return failure(pytest(folder, "test_late.py").stdout)


def recorded(folder: Path) -> str:
    """The golden trace."""
    pytest(folder, "--update-golden", "test_gpio.py")
    return (folder / GOLDEN).read_text()


def table(folder: Path) -> str:
    """The rows of the register table."""
    code = "from devices.registers import markdown; from gpio import Gpio; print(markdown(Gpio), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.partition(TABLE)[2]


OUTPUTS = {GOLDEN: recorded, "forgotten": forgotten, "coverage": coverage, "late": late}


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        found = {title: output(folder) for title, output in OUTPUTS.items()}
        rows = table(folder)
    text = BLOCK.sub(lambda b: b[1] + found.get(b[2], b[3]) + b[4], PAGE.read_text(encoding="utf-8"))
    text = re.sub(re.escape(TABLE) + r"(\| 0x.*\n)*", lambda _: TABLE + rows, text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
