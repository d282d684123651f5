"""Reading apt's sources in both formats. Source of the formats: sources.list(5)."""

from soc.fetch.sources import Source, debian_mirrors, parse_deb822, parse_one_line, read_sources

ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb http://one.example/debian bookworm main contrib   # and a comment
deb [arch=amd64 signed-by=/keys/a.gpg] https://two.example/debian/ trixie main
deb-src http://one.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
deb http://broken.example
deb https://other.example/ubuntu noble main
"""

DEB822 = """\
Types: deb deb-src
# a comment between fields
URIs: http://one.example/debian http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://inline.example/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_one_line_format():
    assert parse_one_line(ONE_LINE) == [
        Source("http://one.example/debian", "bookworm", ("main", "contrib")),
        Source("https://two.example/debian/", "trixie", ("main",), "/keys/a.gpg"),
        Source("http://security.example/debian-security", "bookworm-security", ("main",)),
        Source("https://other.example/ubuntu", "noble", ("main",)),
    ]


def test_deb822_format():
    found = parse_deb822(DEB822)
    assert [(s.uri, s.suite) for s in found] == [
        ("http://one.example/debian", "bookworm"),
        ("http://one.example/debian", "bookworm-updates"),
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "bookworm-updates"),
        ("http://inline.example/debian", "trixie"),
    ]
    assert found[0].signed_by == "/keys/debian.gpg"
    assert found[4].signed_by.splitlines()[0] == "-----BEGIN PGP PUBLIC KEY BLOCK-----"
    assert found[4].signed_by.splitlines()[1:3] == [".", "mQINBF"]


def test_only_debians_main_archives_are_mirrors_and_those_with_the_suite_come_first():
    mirrors = debian_mirrors(parse_one_line(ONE_LINE), "trixie")
    assert [m.uri for m in mirrors] == ["https://two.example/debian/", "http://one.example/debian"]


def test_files_are_read_in_apts_order_and_others_are_ignored(tmp_path):
    (tmp_path / "sources.list").write_text("deb http://main.example/debian bookworm main\n")
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "b.list").write_text("deb http://b.example/debian bookworm main\n")
    (parts / "a.sources").write_text("Types: deb\nURIs: http://a.example/debian\nSuites: sid\nComponents: main\n")
    (parts / "c.list.save").write_text("deb http://c.example/debian bookworm main\n")
    found = read_sources(tmp_path / "sources.list", parts)
    assert [s.uri for s in found] == [
        "http://main.example/debian",
        "http://a.example/debian",
        "http://b.example/debian",
    ]


def test_missing_files_give_no_sources(tmp_path):
    assert read_sources(tmp_path / "sources.list", tmp_path / "parts") == []
