"""Downloads foreign-architecture packages with the host's apt, in a private state directory.

The host's own lists, cache and package state are neither read nor written; its configuration (proxy, keys) is used.
Source: apt.conf(5), sources.list(5).
"""

import os
import shutil
import subprocess
from pathlib import Path

from soc.fetch.deb import control_fields
from soc.fetch.errors import FetchError
from soc.fetch.sources import Source, debian_mirrors, read_sources

ARCHITECTURE = "mips64el"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Hooks of the host's configuration would act on the host's own package state.
HOOKS = ("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success")
WITHOUT_APT = (
    "Give the files yourself: `soc boot --kernel FILE --initrd FILE`, or the packages: `soc fetch debian --deb FILE`."
)
OTHER_MIRROR = "Name a Debian mirror with `--mirror URL`, or give the packages with `--deb FILE`."


def available() -> bool:
    """True when this host has apt."""
    return shutil.which("apt-get") is not None and shutil.which("apt-cache") is not None


def host_mirrors(suite: str) -> list[Source]:
    """The Debian mirrors of the host's own configuration, best first. Raises FetchError when there is none."""
    main, parts = Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d")
    settings = _host("apt-config", "dump", "--format", "%f=%v%n", "Dir")
    values = dict(line.partition("=")[::2] for line in settings.splitlines())
    if etc := values.get("Dir::Etc"):
        base = Path(values.get("Dir", "/") or "/") / etc
        main = base / values.get("Dir::Etc::sourcelist", main.name)
        parts = base / values.get("Dir::Etc::sourceparts", parts.name)
    mirrors = debian_mirrors(read_sources(main, parts), suite)
    if not mirrors:
        sites = _host("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian")
        uris = dict.fromkeys(site for site in sites.splitlines() if site and not site.endswith("-security"))
        mirrors = [Source(uri, suite, ("main",)) for uri in uris]
    if not mirrors:
        raise FetchError("this host's apt sources name no Debian mirror", OTHER_MIRROR)
    return mirrors


def mirror_at(uri: str, suite: str) -> Source:
    """The mirror a user named, signed by the Debian keyring of this host where it has one."""
    return Source(uri, suite, ("main",), str(KEYRING) if KEYRING.exists() else "")


def _host(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    return done.stdout if done.returncode == 0 else ""


class PrivateApt:
    """apt with its own lists and cache below `directory`, for one suite of one mirror."""

    def __init__(self, directory: Path, mirror: Source, suite: str) -> None:
        self.directory = directory
        self.mirror = mirror
        self.suite = suite
        for name in ("lists/partial", "cache/archives/partial", "debs"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "status").touch()
        (directory / "debian.sources").write_text(self._sources(), "utf-8")
        (directory / "apt.conf").write_text(self._configuration(), "utf-8")

    def _sources(self) -> str:
        signed = self.mirror.signed_by
        if "\n" in signed:
            signed = "\n" + "\n".join(f" {line or '.'}" for line in signed.splitlines())
        lines = ["Types: deb", f"URIs: {self.mirror.uri}", f"Suites: {self.suite}", "Components: main"]
        lines += [f"Architectures: {ARCHITECTURE}", "Targets: Packages"]
        return "\n".join(lines + ([f"Signed-By: {signed}"] if signed else [])) + "\n"

    def _configuration(self) -> str:
        values = {
            "Dir::Etc::sourcelist": self.directory / "debian.sources",
            "Dir::Etc::sourceparts": "-",
            "Dir::State": self.directory,
            "Dir::State::lists": self.directory / "lists",
            "Dir::State::status": self.directory / "status",
            "Dir::Cache": self.directory / "cache",
            "Dir::Log": self.directory,
            "APT::Architecture": ARCHITECTURE,
            "APT::Update::Error-Mode": "any",
        }
        lines = [f'{key} "{value}";' for key, value in values.items()]
        lines += ["#clear APT::Architectures;", f'APT::Architectures {{ "{ARCHITECTURE}"; }};']
        lines += [f"#clear {hook};" for hook in HOOKS]
        if os.geteuid() == 0:
            # apt's own download user cannot enter a private directory; root downloads itself instead.
            lines.append('APT::Sandbox::User "root";')
        return "\n".join(lines) + "\n"

    def _run(self, tool: str, *arguments: str, cwd: Path | None = None) -> str:
        command = [tool, "-c", str(self.directory / "apt.conf"), *arguments]
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment, cwd=cwd or self.directory
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))] or ["no message"]
            raise FetchError(
                f"`{tool} {arguments[0]}` failed for {self.mirror.uri}: {'; '.join(said[:3])}", OTHER_MIRROR
            )
        return done.stdout

    def update(self) -> None:
        """Gets the package index; apt checks its signature. Raises FetchError."""
        self._run("apt-get", "update", "-q")

    def packages(self, prefix: str) -> list[str]:
        """The names of all packages that begin with `prefix`."""
        return self._run("apt-cache", "pkgnames", prefix).split()

    def record(self, package: str) -> dict[str, str]:
        """The index entry of the newest version of `package`: Version, SHA256, Filename, ... Raises FetchError."""
        fields = control_fields(self._run("apt-cache", "show", "--no-all-versions", package))
        if "Version" not in fields or "SHA256" not in fields:
            raise FetchError(
                f"{self.mirror.uri} {self.suite} has no package {package} for {ARCHITECTURE}", OTHER_MIRROR
            )
        return fields

    def download(self, package: str) -> bytes:
        """The .deb of the newest version of `package`. apt checks it against the signed index. Raises FetchError."""
        debs = self.directory / "debs"
        for old in debs.glob(f"{package}_*.deb"):
            old.unlink()
        self._run("apt-get", "download", "-q", package, cwd=debs)
        files = list(debs.glob(f"{package}_*.deb"))
        if not files:
            raise FetchError(f"apt reported success but left no {package} in {debs}", OTHER_MIRROR)
        data = files[0].read_bytes()
        files[0].unlink()
        return data
