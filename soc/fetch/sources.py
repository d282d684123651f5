"""Reads the host's apt sources, in both formats, to find the Debian mirror this host already uses (sources.list(5))."""

import re
from dataclasses import dataclass
from pathlib import Path

DEBIAN_SUITES = frozenset(
    "buster bullseye bookworm trixie forky duke sid oldoldstable oldstable stable testing unstable".split()
)
ONE_LINE = re.compile(r"^deb(?:-src)?\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<rest>\S.*)$")


@dataclass(frozen=True)
class Source:
    """One archive: URI, suite, components, and the keyring that signs it (a path, the key itself, or '')."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    @property
    def is_debian(self) -> bool:
        """True for a main archive of Debian itself: known suite, component main."""
        return self.suite in DEBIAN_SUITES and "main" in self.components


def parse_one_line(text: str) -> list[Source]:
    """The binary sources of a sources.list file; comments, source packages and malformed lines are skipped."""
    found = []
    for line in text.splitlines():
        match = ONE_LINE.match(line.partition("#")[0].strip())
        if not match or line.lstrip().startswith("deb-src"):
            continue
        words = match["rest"].split()
        if len(words) < 2:
            continue
        options = dict(word.partition("=")[::2] for word in (match["options"] or "").split() if "=" in word)
        found.append(Source(words[0], words[1], tuple(words[2:]), options.get("signed-by", "")))
    return found


def parse_deb822(text: str) -> list[Source]:
    """The binary sources of a .sources file; disabled and malformed stanzas are skipped."""
    found = []
    for stanza in _stanzas(text):
        if "deb" not in stanza.get("types", "").split() or stanza.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        components = tuple(stanza.get("components", "").split())
        for uri in stanza.get("uris", "").split():
            for suite in stanza.get("suites", "").split():
                found.append(Source(uri, suite, components, stanza.get("signed-by", "")))
    return found


def _stanzas(text: str) -> list[dict[str, str]]:
    stanzas: list[dict[str, str]] = [{}]
    name = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            stanzas.append({})
            name = ""
        elif line[0] in " \t" and name:
            stanzas[-1][name] = (stanzas[-1][name] + "\n" + line.strip()).strip("\n")
        elif ":" in line:
            name = line.partition(":")[0].strip().lower()
            stanzas[-1][name] = line.partition(":")[2].strip()
    return [stanza for stanza in stanzas if stanza]


def read_sources(main: Path, parts: Path) -> list[Source]:
    """Every source of the file `main` and the directory `parts`, in apt's order; unreadable files are skipped."""
    files = [main, *(sorted(parts.iterdir()) if parts.is_dir() else [])]
    found = []
    for path in files:
        if path.suffix not in (".list", ".sources"):
            continue
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:
            continue
        found += parse_deb822(text) if path.suffix == ".sources" else parse_one_line(text)
    return found


def debian_mirrors(sources: list[Source], suite: str) -> list[Source]:
    """Debian mirrors among `sources`, one per URI, those that already serve `suite` first."""
    mirrors: dict[str, Source] = {}
    for source in sorted((s for s in sources if s.is_debian), key=lambda s: s.suite != suite):
        mirrors.setdefault(source.uri.rstrip("/"), source)
    return list(mirrors.values())
