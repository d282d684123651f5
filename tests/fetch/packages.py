"""Small Debian packages for the tests of fetching."""

import io
import lzma
import tarfile


def tar(files: dict[str, bytes]) -> bytes:
    """An uncompressed tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def ar(members: dict[str, bytes]) -> bytes:
    """An ar archive in the form dpkg writes."""
    data = b"!<arch>\n"
    for name, content in members.items():
        data += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), 0, 0, 0, b"100644", len(content))
        data += content + b"\n" * (len(content) % 2)
    return data


def deb(
    name: str, files: dict[str, bytes], version: str = "1.0", architecture: str = "mips64el", suffix: str = ".xz"
) -> bytes:
    """A Debian package; `suffix` names the compression of its data member."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nDescription: a test\n of ours\n"
    data = tar(files)
    return ar(
        {
            "debian-binary": b"2.0\n",
            "control.tar.xz": lzma.compress(tar({"control": control.encode()})),
            "data.tar" + suffix: lzma.compress(data) if suffix == ".xz" else data,
        }
    )
