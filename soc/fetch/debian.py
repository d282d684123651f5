"""`soc fetch debian`: Debian's loongson-3 kernel and a busybox initramfs, from the host's mirror into the cache."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from soc.fetch import apt, initramfs, modules
from soc.fetch.cache import Material, load, sha256, store
from soc.fetch.deb import Package, open_deb
from soc.fetch.errors import FetchError
from soc.fetch.sources import Source
from soc.files import cache_root
from soc.firmware.errors import LoadError
from soc.firmware.identify import describe
from soc.firmware.kernel import read_kernel
from soc.firmware.memory_map import MIB

SUITE = "bookworm"
KERNEL = re.compile(r"linux-image-6\.1\.0-(\d+)-loongson-3")
KERNEL_PREFIX = "linux-image-6.1.0-"
BUSYBOX = "busybox-static"
BUSYBOX_PATH = "bin/busybox"

# sha256 of the vmlinuz inside a package version whose figures the tests know.
# An unknown version is checked for invariants only.
KNOWN_KERNELS = {
    ("linux-image-6.1.0-50-loongson-3", "6.1.176-1"): "3b0f8c5b75d1cf4ba572e552a24f1a90b51895abf493990c2f1e96684332d50a"
}


def directory() -> Path:
    """Where the fetched material is kept."""
    return cache_root() / "debian"


def cached() -> Material | None:
    """The material in the cache, checked; None when nothing was fetched yet."""
    return load(directory())


def fetch(
    mirror: str | None = None,
    debs: Iterable[Path] = (),
    refresh: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Material:
    """Gets what the cache lacks and returns it.

    `debs` are packages the user has; what they do not cover comes from `mirror`, or from the host's own mirror.
    `refresh` asks the mirror even when the cache is complete. `say` gets a line per step. Raises FetchError.
    """
    given = _given(debs)
    if not given and not refresh and mirror is None and (material := cached()):
        say(f"already in {material.directory}: {material.manifest['kernel']['banner']}")
        return material
    packages = dict(given)
    missing = [role for role in ("kernel", "busybox") if role not in packages]
    try:
        if missing:
            packages |= _download(missing, mirror, say)
        return _keep(packages["kernel"], packages["busybox"], say)
    except OSError as cause:
        fact = f"cannot keep anything in {directory()}: {cause.strerror}"
        raise FetchError(fact, "Make room there, or name another place with XDG_CACHE_HOME.") from cause


def _given(debs: Iterable[Path]) -> dict[str, tuple[Package, str]]:
    found: dict[str, tuple[Package, str]] = {}
    for path in debs:
        try:
            data = Path(path).read_bytes()
        except OSError as cause:
            raise FetchError(f"cannot read {path}: {cause.strerror}", "Check the path given with --deb.") from cause
        package = open_deb(data, Path(path).name)
        found[_role(package)] = (package, "given with --deb")
    return found


def _role(package: Package) -> str:
    if KERNEL.fullmatch(package.name):
        role = "kernel"
    elif package.name == BUSYBOX:
        role = "busybox"
    else:
        fact = f"{package.label} is the package {package.name}; wanted are linux-image-6.1.0-N-loongson-3 and {BUSYBOX}"
        raise FetchError(fact, "Give one of these with --deb.")
    if package.architecture != apt.ARCHITECTURE:
        fact = f"{package.label} is for {package.architecture}, this machine runs {apt.ARCHITECTURE}"
        raise FetchError(fact, "Give the package of that architecture.")
    return role


def _download(roles: list[str], mirror: str | None, say: Callable[[str], None]) -> dict[str, tuple[Package, str]]:
    if not apt.available():
        raise FetchError("this host has no apt, so it cannot fetch Debian packages", apt.WITHOUT_APT)
    mirrors = [apt.mirror_at(mirror, SUITE)] if mirror else apt.host_mirrors(SUITE)
    failures = []
    for source in mirrors:
        try:
            return _from_mirror(source, roles, say)
        except FetchError as failure:
            failures.append(failure)
            say(f"{source.uri}: {failure.fact}")
    raise failures[0]


def _from_mirror(source: Source, roles: list[str], say: Callable[[str], None]) -> dict[str, tuple[Package, str]]:
    private = apt.PrivateApt(directory() / "apt", source, SUITE)
    say(f"package index of {SUITE} for {apt.ARCHITECTURE} from {source.uri}")
    private.update()
    names = {"busybox": BUSYBOX}
    if "kernel" in roles:
        names["kernel"] = newest_kernel(private.packages(KERNEL_PREFIX), source.uri)
    found = {}
    for role in roles:
        record = private.record(names[role])
        say(f"{names[role]} {record['Version']} ({int(record.get('Size', 0)) / 1e6:.1f} MB)")
        data = private.download(names[role])
        if sha256(data) != record["SHA256"]:
            fact = f"{names[role]} has the sha256 {sha256(data)}, the signed index says {record['SHA256']}"
            raise FetchError(fact, "Try again, or another `--mirror URL`.")
        found[role] = (open_deb(data, names[role]), source.uri)
    return found


def newest_kernel(names: Iterable[str], where: str = "the mirror") -> str:
    """The loongson-3 kernel package with the highest ABI number. Raises FetchError when `names` has none."""
    kernels = [(int(match[1]), name) for name in names if (match := KERNEL.fullmatch(name))]
    if not kernels:
        fact = f"{where} has no package linux-image-6.1.0-N-loongson-3 in {SUITE}"
        raise FetchError(fact, apt.OTHER_MIRROR)
    return max(kernels)[1]


def _keep(kernel: tuple[Package, str], busybox: tuple[Package, str], say: Callable[[str], None]) -> Material:
    path, vmlinuz = kernel[0].find(lambda path: path.startswith("boot/vmlinuz-"))
    banner = check_kernel(kernel[0], vmlinuz)
    say(banner)
    _, program = busybox[0].find(lambda path: path == BUSYBOX_PATH)
    check_busybox(busybox[0], program)
    drivers = modules.read_modules(kernel[0])
    manifest = {
        "suite": SUITE,
        "kernel": {**_origin(kernel), "file": Path(path).name, "banner": banner},
        "busybox": _origin(busybox) | {"file_sha256": sha256(program)},
        "initrd": {"file": "initramfs.cpio", "ready": initramfs.READY, "prompt": initramfs.PROMPT},
        "modules": {"file": "initramfs-modules.cpio", "names": [name for name, _ in drivers]},
    }
    files = {"kernel": vmlinuz, "initrd": initramfs.build(program), "modules": modules.build(drivers)}
    material = store(directory(), manifest, files)
    say(f"kept in {material.directory}")
    return material


def _origin(found: tuple[Package, str]) -> dict[str, str]:
    package, source = found
    return {"package": package.name, "version": package.version, "source": source, "deb_sha256": sha256(package.data)}


def check_kernel(package: Package, vmlinuz: bytes) -> str:
    """The banner of `vmlinuz`, after checking that it is the kernel its package claims. Raises FetchError."""
    wanted = KNOWN_KERNELS.get((package.name, package.version))
    if wanted and sha256(vmlinuz) != wanted:
        fact = f"the kernel in {package.name} {package.version} has the sha256 {sha256(vmlinuz)}, it should be {wanted}"
        raise FetchError(fact, "The package was altered; get it from a Debian mirror.")
    try:
        kernel = read_kernel(vmlinuz, package.name, 512 * MIB)
    except LoadError as cause:
        raise FetchError(f"package {package.name} holds no usable kernel: {cause.why}", cause.advice) from cause
    release = package.name.removeprefix("linux-image-")
    if f" {release} " not in kernel.banner:
        fact = f"the kernel in {package.name} calls itself {kernel.banner!r}, not release {release}"
        raise FetchError(fact, "Get the package from a Debian mirror.")
    return kernel.banner


def check_busybox(package: Package, program: bytes) -> None:
    """Raises FetchError unless `program` is a statically linked 64-bit little-endian MIPS executable."""
    if describe(program) != "a 64-bit little-endian MIPS ELF file":
        fact = f"busybox in {package.name} is {describe(program)}, not a 64-bit little-endian MIPS program"
        raise FetchError(fact, "Give the mips64el package of busybox-static with --deb.")
    offset = int.from_bytes(program[32:40], "little")
    size, count = (int.from_bytes(program[at : at + 2], "little") for at in (54, 56))
    kinds = [int.from_bytes(program[offset + size * i : offset + size * i + 4], "little") for i in range(count)]
    if 3 in kinds:  # PT_INTERP
        fact = f"busybox in {package.name} is dynamically linked, the initramfs has no libraries"
        raise FetchError(fact, "Give busybox-static with --deb.")
