"""Checkpoints: the whole of a machine, between two windows, as a file that another process can go on from.

    b"soc-checkpoint 1\\n"
    ["machine", crc, bytes]       msgpack of {options, system, told}: what to build
    ["state", crc, bytes]         zlib of the msgpack of all that is not RAM
    ["memory", crc, bytes, n]     zlib of whole pages, not all zero, at offset n of the memory image (RAM, then ROM)
    ["end", crc, bytes]           msgpack of the number of pieces before it

The check value is CRC-32 of the kind, what follows the bytes, and the bytes. `system` is a digest of the links with
their latencies: a state fits only the machine it was taken from. `told` names options that were values of the program.
An integer of more than 64 bits is extension type 1, little-endian.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgpack

from soc.errors import SocError
from soc.options import Options
from soc.timing import Timing

if TYPE_CHECKING:
    from soc.machine import Machine

FORMAT = 1
_HEAD = b"soc-checkpoint "
_LEVEL = 1
_WIDE = 1
_MOST = 1 << 30
"""The longest piece that is accepted, in bytes, packed or not."""
CHANGEABLE = ("tier", "trace", "placement", "devices")
"""Options of a machine that `restore` may be given: none of them changes what happens."""


class CheckpointError(SocError):
    """A machine that cannot be saved, or a checkpoint that cannot be written, read, or taken up by this version."""


def save(machine: Machine, path: str | Path | None) -> bytes | Path:
    """The checkpoint of a machine: its bytes, or the file `path`, which is there whole or not at all."""
    if path is None:
        stream = BytesIO()
        _write(machine, stream)
        return stream.getvalue()
    target = Path(path)
    refuse_target(target)
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("wb") as stream:
            _write(machine, stream)
        partial.replace(target)
    except OSError as cause:
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {cause.strerror}.\nGive a path with room for it."
        ) from cause
    finally:
        with suppress(OSError):
            partial.unlink()
    return target


def refuse_target(path: Path) -> None:
    """Raises CheckpointError where `path` can be no checkpoint: what is there would be replaced, whatever it is."""
    if path.exists() and not path.is_file():
        raise CheckpointError(f"cannot write the checkpoint {path}: it is no regular file.\nGive another path.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise CheckpointError(
            f"cannot write the checkpoint {path}: there is no folder {path.parent} that can be written.\n"
            "Give another path."
        )


def restore(source: str | Path | bytes, make: type[Machine], changed: Mapping[str, Any]) -> Machine:
    """The machine of a checkpoint, built by `make`, with the options `changed`, of those in CHANGEABLE."""
    for name in changed:
        if name not in CHANGEABLE:
            raise CheckpointError(
                f"a restored machine is the saved one; {name} cannot change, {_either(CHANGEABLE)} can"
            )
    name = "these bytes" if isinstance(source, bytes) else str(source)
    with _open(source) as stream:
        pieces = _pieces(stream, name)
        described = _unpack(next(pieces)[1])
        machine = make(**_options(described, changed))
        if _system(machine) != described["system"]:
            raise CheckpointError(
                f"{name} is of a machine that is wired in another way: this version's platform "
                f"{machine.platform.name} has other links or latencies.\nMake the checkpoint again."
            )
        state = None
        try:
            for kind, data, *at in pieces:
                if kind == "state":
                    state = _unpack(_inflate(data))
                else:
                    machine.memory.restore(at[0], _inflate(data))
            machine.restore_state(state)
        except CheckpointError:
            raise
        except SocError as cause:
            raise CheckpointError(f"{name} cannot be taken up: {cause}") from cause
        except (KeyError, IndexError, TypeError, ValueError) as cause:
            raise CheckpointError(
                f"{name} was made by another version: it lacks what this one needs ({type(cause).__name__} {cause}).\n"
                "Make the checkpoint again."
            ) from cause
    return machine


# Writing.


def _write(machine: Machine, stream: BinaryIO) -> None:
    stream.write(_HEAD + b"%d\n" % FORMAT)
    count = 0
    for kind, data, *more in _parts(machine):
        stream.write(msgpack.packb([kind, _check(kind, data, more), data, *more]))
        count += 1
    end = msgpack.packb(count)
    stream.write(msgpack.packb(["end", _check("end", end, []), end]))


def _check(kind: str, data: bytes, more: list[int]) -> int:
    return zlib.crc32(data, zlib.crc32(msgpack.packb([kind, *more])))


def _parts(machine: Machine) -> Iterator[tuple[Any, ...]]:
    yield "machine", _pack({**_described(machine.options), "system": _system(machine)})
    yield "state", zlib.compress(_pack(machine.state()), _LEVEL)
    for offset, data in machine.memory.contents():
        yield "memory", zlib.compress(data, _LEVEL), offset


def _described(options: Options) -> dict[str, Any]:
    """The options as plain data, and which were values of the program (such as functions) that must be given again."""
    if any(fault.channel for fault in options.fault):
        raise CheckpointError(
            "a machine with faults on channels cannot be saved: what they will do next is not part of its state"
        )
    values = {entry.name: getattr(options, entry.name) for entry in fields(options)}
    values |= {
        "placement": {name: asdict(place) for name, place in options.placement.items()},
        "platform": options.platform.name,
        "timing": {name: value for name, value, *_ in options.timing.rows()},
        "disk": None,
        "fault": (),
    }
    devices, told = {}, []
    for device, given in options.devices.items():
        devices[device] = {}
        for key, value in given.items():
            if isinstance(value, os.PathLike) or key == "image":
                value = str(Path(value).absolute())
            if _is_plain(value):
                devices[device][key] = value
            else:
                told.append([device, key])
    return {"options": {**values, "devices": devices}, "told": told}


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float | bytes | None)


def _system(machine: Machine) -> bytes:
    return blake2b(msgpack.packb(machine.trace.wiring.as_dict()), digest_size=16).digest()


def _pack(value: Any) -> bytes:
    return msgpack.packb(value, default=_wide)


def _wide(value: Any) -> Any:
    if type(value) is int:
        return msgpack.ExtType(_WIDE, value.to_bytes((value.bit_length() + 7) // 8, "little"))
    raise CheckpointError(f"a checkpoint cannot hold a {type(value).__name__} ({value!r:.60})")


# Reading.


def _open(source: str | Path | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return BytesIO(source)
    try:
        return Path(source).open("rb")
    except OSError as cause:
        raise CheckpointError(
            f"cannot read the checkpoint {source}: {cause.strerror}.\n"
            "`soc boot --save-at TIME --checkpoint FILE` makes one."
        ) from cause


def _pieces(stream: BinaryIO, name: str) -> Iterator[tuple[Any, ...]]:
    """(kind, bytes, offset of memory) of each piece up to the end, the machine and the state first."""
    head = stream.readline(64)
    if not head.startswith(_HEAD) or not head.endswith(b"\n"):
        raise CheckpointError(f"{name}: not a checkpoint, it does not begin with {_HEAD.decode().strip()!r}.")
    if head != _HEAD + b"%d\n" % FORMAT:
        version = head.removeprefix(_HEAD).strip().decode("ascii", "replace")
        raise CheckpointError(
            f"{name} is a checkpoint of format {version}; this version reads {FORMAT}.\n"
            "Restore it with the version that made it, or make it again."
        )
    order = ["machine", "state"]
    count = 0
    unpacker = msgpack.Unpacker(stream, raw=False, max_buffer_size=_MOST)
    try:
        for row in unpacker:
            kind, check, data, *more = row
            if _check(kind, data, more) != check:
                raise CheckpointError(
                    f"{name} is damaged: a piece of kind {kind!r:.20} does not match its check value."
                )
            if kind == "end":
                if msgpack.unpackb(data) != count or order or next(unpacker, None) is not None:
                    raise CheckpointError(f"{name} is damaged: its pieces are not those its end tells of.")
                return
            expected = order.pop(0) if order else "memory"
            if kind != expected or [type(value) for value in more] != [int] * (kind == "memory"):
                raise CheckpointError(f"{name} is damaged: a piece of kind {kind!r:.20} where {expected!r} belongs.")
            count += 1
            yield kind, data, *more
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException, RecursionError) as cause:
        raise CheckpointError(f"{name} is damaged: no piece of a checkpoint after {count} of them.") from cause
    raise CheckpointError(f"{name} was cut off after {count} pieces.\nMake the checkpoint again.")


def _inflate(data: bytes) -> bytes:
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(data, _MOST)
    except zlib.error as cause:
        raise CheckpointError(f"a damaged checkpoint: {cause}") from cause
    if engine.unconsumed_tail or not engine.eof:
        raise CheckpointError("a damaged checkpoint: a piece that is not whole or too big")
    return plain


def _unpack(data: bytes) -> Any:
    return msgpack.unpackb(data, raw=False, strict_map_key=False, ext_hook=_narrow)


def _narrow(code: int, data: bytes) -> Any:
    if code != _WIDE:
        raise CheckpointError(f"a damaged checkpoint: extension type {code}")
    return int.from_bytes(data, "little")


def _options(described: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(described["options"])
    devices = {name: dict(given) for name, given in values["devices"].items()}
    for name, given in (changed.get("devices") or {}).items():
        if name not in devices:
            raise CheckpointError(f"the saved machine has no device {name!r}; it has {_either(devices) or 'none'}")
        devices[name] |= given
    lacking = [f"{name}'s {key}" for name, key in described["told"] if key not in devices[name]]
    if lacking:
        raise CheckpointError(
            f"{', '.join(lacking)} was given by the program and is not in the checkpoint.\n"
            "Give it again: Machine.restore(..., devices={NAME: {OPTION: VALUE}})."
        )
    known = {entry.name for entry in fields(Options)}
    unknown = sorted(values.keys() ^ known)
    if unknown:
        raise CheckpointError(f"the checkpoint was made by another version: options {', '.join(unknown)} differ")
    values |= {name: value for name, value in changed.items() if value is not None}
    values |= {"devices": devices, "timing": Timing(**values["timing"]), "ram": f"{values['ram'] >> 10} KiB"}
    return values


def _either(names: Any) -> str:
    return " or ".join(names)
